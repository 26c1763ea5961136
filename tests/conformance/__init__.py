"""The official conformance suite, against a gateway that has what the suite asks for."""
