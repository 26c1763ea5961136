/* What stands in front of the C that mypyc writes (`make compiled`): names are found once.
 *
 * An attribute of what mypyc did not compile, such as a model of msgspec, it has looked up by
 * name each time, as the interpreter had before 3.11. Here each place in the code remembers
 * where the attribute was, for as long as the type stays what it was (`tp_version_tag`), as the
 * interpreter does since (PEP 659). That goes for slots, for getters, which compiled classes
 * have for those that know only their protocol, and for what classes themselves have, such as
 * members of an enum. In the same way each place remembers which method of a type it calls, and
 * what a module's name stands for. All else is looked up as ever.
 */

#include <Python.h>
#include <structmember.h>

/* Without its lock, types change while others read them. */
#ifndef Py_GIL_DISABLED

typedef struct {
    /* Of which name: a place can have several (`getattr(it, name)`). Kept, so that no other
     * string can come to be at its address. */
    PyObject *name;
    /* Of objects of which type; or of which class, for what a class has. */
    PyTypeObject *type;
    /* In which state of it, a number that no type had before; 0 is none. */
    unsigned int version;
    unsigned int meta_version;
    /* Where in the object it is, or what gets it, or what the class has, which keeps it; else
     * it is looked up. */
    Py_ssize_t offset;
    PyGetSetDef *getter;
    PyObject *constant;
} Place;

/* Whether a name of a class is what its own namespaces have: its type has no other way to look
 * names up, and no such name itself. (Enum's has `__getattr__`, for names that are not found.) */
static int is_its_own(PyTypeObject *meta, PyObject *name)
{
    static PyObject *getattribute = NULL;
    if (getattribute == NULL) {
        getattribute = PyUnicode_InternFromString("__getattribute__");
        if (getattribute == NULL) {
            PyErr_Clear();
            return 0;
        }
    }
    return _PyType_Lookup(meta, getattribute) == _PyType_Lookup(&PyType_Type, getattribute)
        && _PyType_Lookup(meta, name) == NULL;
}

static Place find_place(PyObject *object, PyObject *name)
{
    PyTypeObject *type = Py_TYPE(object);
    Place place = {NULL};
    /* Looking something up gives a type its state. */
    if (type->tp_getattro == PyObject_GenericGetAttr) {
        PyObject *found = _PyType_Lookup(type, name);
        place.type = type;
        place.version = type->tp_version_tag;
        /* Both are data descriptors, which come before what the object itself has. */
        if (found != NULL && Py_IS_TYPE(found, &PyMemberDescr_Type)) {
            PyMemberDef *member = ((PyMemberDescrObject *)found)->d_member;
            if (member->type == T_OBJECT_EX && (member->flags & ~READONLY) == 0) {
                place.offset = member->offset;
            }
        } else if (found != NULL && Py_IS_TYPE(found, &PyGetSetDescr_Type)) {
            PyGetSetDef *getter = ((PyGetSetDescrObject *)found)->d_getset;
            place.getter = getter->get == NULL ? NULL : getter;
        }
    } else if (PyType_Check(object) && is_its_own(type, name)) {
        PyObject *found = _PyType_Lookup((PyTypeObject *)object, name);
        place.type = (PyTypeObject *)object;
        place.version = place.type->tp_version_tag;
        place.meta_version = type->tp_version_tag;
        if (found != NULL && Py_TYPE(found)->tp_descr_get == NULL && place.meta_version != 0) {
            place.constant = found;
        }
    }
    return place.version == 0 ? (Place){NULL} : place;
}

__attribute__((noinline)) static PyObject *
read_elsewhere(Place *place, PyObject *object, PyObject *name)
{
    PyTypeObject *type = Py_TYPE(object);
    if (name == place->name) {
        if (type == place->type && type->tp_version_tag == place->version) {
            return place->getter == NULL ? PyObject_GetAttr(object, name)
                                         : place->getter->get(object, place->getter->closure);
        }
        if (place->constant != NULL && object == (PyObject *)place->type
            && place->type->tp_version_tag == place->version
            && type->tp_version_tag == place->meta_version) {
            return Py_NewRef(place->constant);
        }
    }
    PyObject *before = place->name;
    *place = find_place(object, name);
    place->name = Py_NewRef(name);
    Py_XDECREF(before);
    return PyObject_GetAttr(object, name);
}

static inline PyObject *read_attribute(Place *place, PyObject *object, PyObject *name)
{
    PyTypeObject *type = Py_TYPE(object);
    if (type == place->type && type->tp_version_tag == place->version && place->offset != 0
        && name == place->name) {
        PyObject *value = *(PyObject **)((char *)object + place->offset);
        if (value != NULL) {
            return Py_NewRef(value);
        }
    }
    return read_elsewhere(place, object, name);
}

#define PyObject_GetAttr(object, name)              \
    (__extension__({                                \
        static Place place;                         \
        read_attribute(&place, (object), (name));   \
    }))

typedef struct {
    /* Kept, as above. */
    PyObject *name;
    PyTypeObject *type;
    unsigned int version;
    /* The type keeps it for as long as it is in that state. */
    PyObject *method;
} Method;

/* Only a type whose objects have no names of their own says alone what is called. */
__attribute__((noinline)) static PyObject *
call_elsewhere(Method *place, PyObject *name, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    PyTypeObject *type = Py_TYPE(args[0]);
    PyObject *found = NULL;
    if (type->tp_getattro == PyObject_GenericGetAttr && type->tp_dictoffset == 0) {
        found = _PyType_Lookup(type, name);
    }
    if (found != NULL && PyType_HasFeature(Py_TYPE(found), Py_TPFLAGS_METHOD_DESCRIPTOR)) {
        PyObject *before = place->name;
        *place = (Method){Py_NewRef(name), type, type->tp_version_tag, found};
        Py_XDECREF(before);
    }
    return PyObject_VectorcallMethod(name, args, nargsf, kwnames);
}

static inline PyObject *
call_method(Method *place, PyObject *name, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    PyTypeObject *type = Py_TYPE(args[0]);
    if (type == place->type && type->tp_version_tag == place->version && place->version != 0
        && name == place->name) {
        /* It may take itself from its type. What stands before `self` is not its to change. */
        PyObject *method = Py_NewRef(place->method);
        PyObject *result = PyObject_Vectorcall(
            method, args, nargsf & ~PY_VECTORCALL_ARGUMENTS_OFFSET, kwnames);
        Py_DECREF(method);
        return result;
    }
    return call_elsewhere(place, name, args, nargsf, kwnames);
}

#define PyObject_VectorcallMethod(name, args, nargsf, kwnames)         \
    (__extension__({                                                   \
        static Method place;                                           \
        call_method(&place, (name), (args), (nargsf), (kwnames));      \
    }))

/* Dictionaries say until 3.13 in which state they are, by a number that no other one ever had. */
#if PY_VERSION_HEX < 0x030E0000
#if PY_VERSION_HEX >= 0x030C0000
#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* `ma_version_tag` */
#endif

typedef struct {
    /* In which state of its module's namespace, which keeps the value meanwhile; 0 is none. */
    uint64_t version;
    /* Kept, as above. */
    PyObject *name;
    PyObject *value;
    /* This place reads another dictionary, not a module's: nothing is remembered. */
    int is_other;
} Global;

PyObject *CPyDict_GetItem(PyObject *dict, PyObject *key);

__attribute__((noinline)) static PyObject *
read_global_elsewhere(Global *place, PyObject *dict, PyObject *name)
{
    if (place->is_other) {
        return CPyDict_GetItem(dict, name);
    }
    PyObject *value = CPyDict_GetItem(dict, name);
    if (value == NULL) {
        return NULL;
    }
    if (!PyDict_CheckExact(dict) || PyDict_GetItemString(dict, "__spec__") == NULL) {
        *place = (Global){.is_other = 1};
        return value;
    }
    PyObject *before = place->name;
    *place = (Global){((PyDictObject *)dict)->ma_version_tag, Py_NewRef(name), value, 0};
    Py_XDECREF(before);
    return value;
}

static inline PyObject *read_global(Global *place, PyObject *dict, PyObject *name)
{
    if (((PyDictObject *)dict)->ma_version_tag == place->version && name == place->name) {
        return Py_NewRef(place->value);
    }
    return read_global_elsewhere(place, dict, name);
}

/* mypyc's own code, which follows, declares and defines the function: then the first argument
 * begins with a type, and this is `DECLARED`. */
#define CPyDict_GetItem(dict, key) SECOND(TYPE_##dict, CALLED, )(dict, key)
#define TYPE_PyObject ~, DECLARED,
#define SECOND(...) SECOND_OF(__VA_ARGS__)
#define SECOND_OF(first, second, ...) second
#define DECLARED(dict, key) CPyDict_GetItem(dict, key)
#define CALLED(dict, key)                               \
    (__extension__({                                    \
        static Global global;                           \
        read_global(&global, (dict), (key));            \
    }))

#endif
#endif
