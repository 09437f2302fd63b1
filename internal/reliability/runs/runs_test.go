package runs

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

func TestRoundTrip(t *testing.T) {
	file := filepath.Join(t.TempDir(), "runs")
	want := []Run{
		{Name: "one", Asked: 3, Signed: 1, Refused: map[string]int{"busy": 1}, Lost: 1, Broken: []string{"1 request lost"}},
		{Name: "two", Until: "then", Recoveries: []Recovery{{Fault: "crash", Promised: time.Second, Took: []time.Duration{1, 2}, Final: 1}},
			Figures: []Figure{{"restarts", "3"}}},
	}
	for _, r := range want {
		if err := Append(file, r); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(data)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"{}\nno JSON\n", `{"Name":"one","Forged":1}`, `{"Asked":"many"}`, `{"Name":`} {
		if _, err := Parse([]byte(bad)); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}

func TestRecovery(t *testing.T) {
	r := Recovery{Promised: 3, Took: []time.Duration{5, 1, 2, 4, 3}, Final: 2}
	if r.Times() != 7 || r.Median() != 3 || r.Slowest() != 5 || r.Late() != 2 {
		t.Error(r.Times(), r.Median(), r.Slowest(), r.Late())
	}
	if r.Promised = 0; r.Late() != 0 {
		t.Error("late without a promise")
	}
	if two := (Recovery{Took: []time.Duration{8, 2}}); two.Median() != 5 {
		t.Error(two.Median())
	}
	if none := (Recovery{Final: 1}); none.Times() != 1 || none.Median() != 0 || none.Slowest() != 0 {
		t.Error("times where there are none")
	}
}
