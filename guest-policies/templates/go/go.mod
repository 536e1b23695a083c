module {{name}}

go 1.24

require rolewright/policy v0.1.0

replace rolewright/policy => ./policy
