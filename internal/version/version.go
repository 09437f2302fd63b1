// Package version says which version of epov a program is.
package version

import (
	"runtime/debug"
)

// release is set by the linker in releases and packages: -X github.com/epov-signer/epov/internal/version.release=1.2.3.
var release string

// String is the release; without one, what the Go linker knows of the sources.
func String() string {
	if release != "" {
		return release
	}
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
	return version
}
