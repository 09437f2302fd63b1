package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Beyond names what another domain reaches and this one does not: a process that is confined to this one would look for it in vain.
// Files that are only read count if they are there.
func (d *Domain) Beyond(other *Domain) (names []string) {
	for _, g := range other.Grants {
		if _, err := os.Lstat(g.Path); err != nil && g.Right&^(Execute) == 0 {
			continue
		}
		if !d.covers(g) && !slices.Contains(names, g.Path) {
			names = append(names, g.Path)
		}
	}
	for _, port := range other.Connect {
		if name := fmt.Sprintf("TCP port %d", port); !d.Anywhere && !slices.Contains(d.Connect, port) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if other.Anywhere && !d.Anywhere {
		names = append(names, "any TCP port")
	}
	return names
}

// covers tells whether what is granted here gives a right, to the path itself or to a folder above it.
func (d *Domain) covers(want Grant) bool {
	for path := filepath.Clean(want.Path); ; path = filepath.Dir(path) {
		for _, g := range d.Grants {
			if filepath.Clean(g.Path) == path && want.Right&^g.Right == 0 {
				return true
			}
		}
		if path == filepath.Dir(path) {
			return false
		}
	}
}
