package daemon

import (
	"fmt"
	"runtime/debug"
	"sync"
)

// BuildVersion says which build the program is.
var BuildVersion = sync.OnceValue(func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	version := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && (version == "" || version == "(devel)") {
			version = s.Value
		}
	}
	return fmt.Sprintf("%s (%s)", version, info.GoVersion)
})
