package hsm

import (
	"path/filepath"
	"slices"
	"strings"
)

// Reach is everything that the module of a token may have to do with, in this process or in one of its own, now and later: for a
// sandbox around all of them. Devices are folders here, for devices come and go; PINs are read, and the record of those refused is
// written.
func (c TokenConfig) Reach() Sandbox {
	whole := sandboxOf(c.Vendor, c.Sandbox)
	now := whole.grants() // what the environment names is among it
	r := Sandbox{
		Off: whole.Off, Families: whole.Families, Ports: whole.Ports,
		Read:  append(now.Read, filepath.Dir(c.Module)),
		Write: append(now.Write, c.StateDir),
	}
	for _, pattern := range slices.Concat(whole.Devices, whole.Sockets) {
		r.Devices = append(r.Devices, fixedFolder(pattern))
	}
	for _, source := range []PINSource{c.PIN, c.KeyPIN} {
		for _, path := range source.Paths() {
			r.Read = append(r.Read, filepath.Dir(path))
		}
		if device := source.TPMDevice(); device != "" {
			r.Devices = append(r.Devices, device)
		}
	}
	return r
}

// fixedFolder is the innermost folder that all paths of a pattern are in.
func fixedFolder(pattern string) string {
	if i := strings.IndexAny(pattern, `*?[\`); i >= 0 {
		pattern = pattern[:i]
	}
	return filepath.Dir(pattern + "x") // "/dev/bus/usb/" is the folder itself
}
