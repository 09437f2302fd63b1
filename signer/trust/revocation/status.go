package revocation

import "time"

// Status says how fresh what is in memory is.
type Status struct {
	Lists   int       // CRLs, of files and of the network
	Overdue int       // of these: their nextUpdate is past
	Oldest  time.Time // the earliest thisUpdate; zero: there is no list
	Failing int       // sources whose last fetch failed
}

// Status looks at what is in memory only.
func (l *Library) Status() (s Status) {
	now := l.now()
	l.mutex.RLock()
	defer l.mutex.RUnlock()
	for _, lists := range l.lists {
		for _, list := range lists {
			s.Lists++
			if !list.NextUpdate.IsZero() && now.After(list.NextUpdate) {
				s.Overdue++
			}
			if s.Oldest.IsZero() || list.ThisUpdate.Before(s.Oldest) {
				s.Oldest = list.ThisUpdate
			}
		}
	}
	for _, t := range l.tasks {
		if t.err != nil {
			s.Failing++
		}
	}
	return s
}
