module interop/outcome

go 1.23
