package pin

import "time"

// Recorded is what the record of a token says.
type Recorded struct {
	Path    string
	Refused int        // PINs that the token has refused since the last login
	Attempt *time.Time // of a try whose outcome is not known; nil: none
}

// Inspect reads the record of a token and changes nothing.
func Inspect(stateDir, serial string) (Recorded, error) {
	path := recordPath(stateDir, serial)
	r, err := readRecord(path, serial)
	return Recorded{Path: path, Refused: len(r.Refused), Attempt: r.Attempt}, err
}
