module naming-go

go 1.24

require rolewright/policy v0.1.0

replace rolewright/policy => ../../../guest-policies/sdk-go
