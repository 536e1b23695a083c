module rolewright/policy

go 1.24
