package hsm

import (
	"debug/elf"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// machines are the ELF machines that this program can be built for and load modules of.
var machines = map[string]elf.Machine{
	"amd64": elf.EM_X86_64, "386": elf.EM_386, "arm64": elf.EM_AARCH64, "arm": elf.EM_ARM, "riscv64": elf.EM_RISCV,
	"loong64": elf.EM_LOONGARCH, "ppc64le": elf.EM_PPC64, "s390x": elf.EM_S390,
}

// moduleFile looks at the library without loading it, and says whether loading makes sense.
func (d *doctor) moduleFile(subject, path string) bool {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.say("module.missing", subject, "there is no such file")
		return false
	case err != nil:
		d.say("module.unreadable", subject, "%v", err)
		return false
	case !info.Mode().IsRegular():
		d.say("module.no-library", subject, "it is no regular file")
		return false
	}
	f, err := elf.Open(path)
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			d.say("module.unreadable", subject, "%v", err)
		} else {
			d.say("module.no-library", subject, "it is no ELF file")
		}
		return false
	}
	defer f.Close()
	if want := machines[runtime.GOARCH]; f.Machine != want || f.Type != elf.ET_DYN {
		if f.Type != elf.ET_DYN {
			d.say("module.no-library", subject, "it is no shared library (%v)", f.Type)
		} else {
			d.say("module.architecture", subject, "it is for %v, this machine is %v", f.Machine, want)
		}
		return false
	}
	if info.Mode().Perm()&0o022 != 0 {
		d.say("module.writable", subject, "mode %#o", info.Mode().Perm())
	}
	symbols, err := f.DynamicSymbols()
	if err == nil && !slices.ContainsFunc(symbols, func(s elf.Symbol) bool {
		return s.Name == "C_GetFunctionList" && s.Section != elf.SHN_UNDEF
	}) {
		d.say("module.no-pkcs11", subject, "it exports no C_GetFunctionList")
		return false
	}
	missing, needsPCSC := needed(f, path)
	if len(missing) > 0 {
		d.say("module.needs", subject, "not found: %s", strings.Join(missing, ", "))
		return false
	}
	if needsPCSC {
		if socket := pcscSocket(); socket != "" {
			d.say("module.pcscd", subject, "it talks to pcscd, and %s is not there", socket)
		}
	}
	return true
}

// pcscSocket is the socket of pcscd if it is missing.
func pcscSocket() string {
	path := os.Getenv("PCSCLITE_CSOCK_NAME")
	if path == "" {
		path = smartCard.Sockets[0]
	}
	if info, err := os.Stat(path); err == nil && info.Mode()&fs.ModeSocket != 0 {
		return ""
	}
	return path
}

// maxLibraries bounds the walk over what a module needs.
const maxLibraries = 512

// needed looks for the libraries that a module needs, and those that these need, where the loader looks: DT_RPATH, DT_RUNPATH,
// LD_LIBRARY_PATH, the folders of ld.so.conf, the default ones (ld.so(8)). It gives those that are nowhere.
func needed(f *elf.File, path string) (missing []string, pcsc bool) {
	folders := loaderFolders()
	seen := map[string]bool{}
	var walk func(f *elf.File, path string, inherited []string)
	walk = func(f *elf.File, path string, inherited []string) {
		list, _ := f.ImportedLibraries() // none is not an error of ours
		own := append(runFolders(f, path), inherited...)
		for _, name := range list {
			if seen[name] || len(seen) == maxLibraries {
				continue
			}
			seen[name] = true
			pcsc = pcsc || strings.HasPrefix(name, "libpcsclite.so")
			found := ""
			if strings.Contains(name, "/") {
				found = name
			} else {
				found = lookUp(name, f.Machine, append(slices.Clone(own), folders...))
			}
			library, err := elf.Open(found)
			if err != nil {
				missing = append(missing, name)
				continue
			}
			walk(library, found, own)
			library.Close()
		}
	}
	walk(f, path, nil)
	slices.Sort(missing)
	return missing, pcsc
}

func lookUp(name string, machine elf.Machine, folders []string) string {
	for _, folder := range folders {
		path := filepath.Join(folder, name)
		if f, err := elf.Open(path); err == nil {
			fits := f.Machine == machine
			f.Close()
			if fits {
				return path
			}
		}
	}
	return ""
}

// runFolders are those that a library brings itself.
func runFolders(f *elf.File, path string) (folders []string) {
	origin, err := filepath.EvalSymlinks(path)
	if err != nil {
		origin = path
	}
	for _, tag := range []elf.DynTag{elf.DT_RPATH, elf.DT_RUNPATH} {
		values, _ := f.DynString(tag)
		for _, v := range values {
			for _, folder := range filepath.SplitList(v) {
				folder = strings.NewReplacer("$ORIGIN", filepath.Dir(origin), "${ORIGIN}", filepath.Dir(origin)).Replace(folder)
				folders = append(folders, folder)
			}
		}
	}
	return folders
}

// loaderFolders are the system's.
func loaderFolders() (folders []string) {
	folders = append(folders, filepath.SplitList(os.Getenv("LD_LIBRARY_PATH"))...)
	folders = append(folders, confFolders("/etc/ld.so.conf", 0)...)
	for _, base := range []string{"/lib", "/usr/lib", "/lib64", "/usr/lib64"} {
		folders = append(folders, base)
		triplets, _ := filepath.Glob(base + "/*-linux-*") // Debian's folders of one architecture each
		folders = append(folders, triplets...)
	}
	return folders
}

// confFolders reads ld.so.conf: a folder to a line, and include with a pattern.
func confFolders(path string, depth int) (folders []string) {
	data, err := os.ReadFile(path)
	if err != nil || depth > 4 || len(data) > 1<<20 {
		return nil
	}
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0:
		case fields[0] == "include":
			for _, pattern := range fields[1:] {
				if !filepath.IsAbs(pattern) {
					pattern = filepath.Join(filepath.Dir(path), pattern)
				}
				files, _ := filepath.Glob(pattern)
				for _, file := range files {
					folders = append(folders, confFolders(file, depth+1)...)
				}
			}
		default:
			folders = append(folders, strings.TrimSpace(line))
		}
	}
	return folders
}
