package deploy

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/epov-signer/epov/internal/daemon"
)

var update = flag.Bool("update", false, "write the rendered manifests of the chart anew")

// kubernetes is the version that the manifests are rendered for.
const kubernetes = "1.31.0"

// helm runs helm, which `make helm-test` installs; a test of the chart without it says that it did not run.
func helm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	tools, err := filepath.Glob("../.build/bin/helm-v*")
	if err != nil || len(tools) == 0 {
		t.Skip("SKIPPED: helm is missing; `make helm-test` installs it")
	}
	cmd := exec.Command(tools[len(tools)-1], args...)
	cmd.Env = append(os.Environ(), "HELM_CACHE_HOME="+t.TempDir(), "HELM_CONFIG_HOME="+t.TempDir(), "HELM_DATA_HOME="+t.TempDir())
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		err = errors.New(errs.String() + string(out))
	}
	return string(out), err
}

var variants = []string{"network-hsm", "usb-token"}

// The chart renders what is committed, helm has nothing against it, and the daemon takes the configuration in it.
func TestChart(t *testing.T) {
	for _, variant := range variants {
		t.Run(variant, func(t *testing.T) {
			values := "helm/" + variant + ".yaml"
			if _, err := helm(t, "lint", "--strict", "--kube-version="+kubernetes, "helm/epov", "-f", values); err != nil {
				t.Error(err)
			}
			out, err := helm(t, "template", "epov", "helm/epov", "--namespace=signing", "--kube-version="+kubernetes, "-f", values)
			if err != nil {
				t.Fatal(err)
			}
			golden := "helm/testdata/" + variant + ".yaml"
			if *update {
				if err := os.WriteFile(golden, []byte(out), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want, err := os.ReadFile(golden); err != nil || string(want) != out {
				t.Errorf("%s is not what the chart renders (%v): go test ./deploy -run TestChart -update, and read the difference",
					golden, err)
			}
		})
	}
}

// manifest is what the tests look at of an object.
type manifest struct {
	Kind     string
	Metadata struct{ Name string }
	Data     map[string]string
	Spec     struct {
		Template struct {
			Spec struct {
				HostNetwork    bool `yaml:"hostNetwork"`
				InitContainers []container
				Containers     []container
				Volumes        []struct{ Name string }
			}
		}
	}
}

type container struct {
	Name            string
	SecurityContext struct {
		Privileged               bool
		AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
		ReadOnlyRootFilesystem   bool  `yaml:"readOnlyRootFilesystem"`
		Capabilities             struct{ Drop []string }
	} `yaml:"securityContext"`
	VolumeMounts []struct{ Name, MountPath string } `yaml:"volumeMounts"`
}

func manifests(t *testing.T, file string) []manifest {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var list []manifest
	for dec := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var m manifest
		if err := dec.Decode(&m); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, m)
	}
}

// What is committed holds together: needs no helm.
func TestChartManifests(t *testing.T) {
	for _, variant := range variants {
		t.Run(variant, func(t *testing.T) {
			kinds := map[string]int{}
			for _, m := range manifests(t, "helm/testdata/"+variant+".yaml") {
				kinds[m.Kind]++
				switch m.Kind {
				case "ConfigMap":
					checkConfiguration(t, m.Data)
				case "StatefulSet":
					checkPod(t, m)
				}
			}
			for _, kind := range []string{"StatefulSet", "ConfigMap", "NetworkPolicy", "PodDisruptionBudget", "ServiceAccount"} {
				if kinds[kind] != 1 {
					t.Errorf("%d of %s", kinds[kind], kind)
				}
			}
			if kinds["Service"] != 2 {
				t.Errorf("%d services", kinds["Service"])
			}
		})
	}
}

// checkConfiguration lets the daemon read what the chart configures: only files that are mounted later may be missing.
func checkConfiguration(t *testing.T, data map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range data {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err := daemon.Load(filepath.Join(dir, "epovd.yaml"))
	wrong, ok := errors.AsType[*daemon.ConfigError](err)
	if !ok {
		t.Fatalf("%v", err)
	}
	for _, f := range wrong.Findings {
		if !strings.Contains(f.Message, "no such file or directory") && !strings.Contains(f.Message, "is not a regular file") {
			t.Errorf("line %d: %s: %s", f.Line, f.Path, f.Message)
		}
	}
}

func checkPod(t *testing.T, m manifest) {
	t.Helper()
	pod := m.Spec.Template.Spec
	volumes := []string{"state"} // of the claim
	for _, v := range pod.Volumes {
		volumes = append(volumes, v.Name)
	}
	if pod.HostNetwork || len(pod.Containers) != 1 {
		t.Errorf("%+v", pod)
	}
	for _, c := range append(pod.InitContainers, pod.Containers...) {
		s := c.SecurityContext
		if s.Privileged || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation ||
			!s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []string{"ALL"}) {
			t.Errorf("%s is not confined: %+v", c.Name, s)
		}
		for _, mount := range c.VolumeMounts {
			if !slices.Contains(volumes, mount.Name) {
				t.Errorf("%s mounts %s, which is not there", c.Name, mount.Name)
			}
		}
	}
}

// Values that make no sense are refused by name.
func TestChartRefuses(t *testing.T) {
	for _, tc := range []struct{ set, want string }{
		{"replica=3", "replica"},
		{"tokens[0].pin.file=/x", "pin"},
		{"tokens=null", "tokens"},
		{"config.listen=0.0.0.0:1", "config"},
		{"image.digest=latest", "digest"},
		{"hsm.cidrs[0]=hsm.example.ru", "cidrs"},
		{"service.port=70000", "port"},
	} {
		_, err := helm(t, "template", "epov", "helm/epov", "--kube-version="+kubernetes, "-f", "helm/usb-token.yaml", "--set", tc.set)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("--set %s: %v", tc.set, err)
		}
	}
}
