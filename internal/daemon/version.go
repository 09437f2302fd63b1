package daemon

import (
	"fmt"
	"runtime"

	build "github.com/epov-signer/epov/internal/version"
)

// BuildVersion is the version of the program, and that of Go.
func BuildVersion() string { return fmt.Sprintf("%s (%s)", build.String(), runtime.Version()) }
