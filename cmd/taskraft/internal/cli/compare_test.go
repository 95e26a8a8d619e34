package cli

import "testing"

func TestJudgeTables(t *testing.T) {
	for name, tt := range map[string]struct {
		all              []tableView
		answered, differ bool
	}{
		"nobody there":           {[]tableView{{Error: "connection refused"}, {Error: "connection refused"}}, false, false},
		"one alone":              {[]tableView{{Index: 7, Hash: "a"}, {Error: "connection refused"}}, true, false},
		"equal":                  {[]tableView{{Index: 7, Hash: "a"}, {Index: 7, Hash: "a"}}, true, false},
		"other indexes":          {[]tableView{{Index: 7, SHA256: "a"}, {Index: 8, SHA256: "b"}}, true, false},
		"one of three differs":   {[]tableView{{Index: 7, Hash: "a"}, {Index: 7, Hash: "b"}, {Index: 7, Hash: "a"}}, true, true},
		"versions count apart":   {[]tableView{{Index: 7, Hash: "a", version: "1"}, {Index: 7, Hash: "b", version: "2"}}, true, false},
		"within a version, none": {[]tableView{{Index: 7, Hash: "a", version: "1"}, {Index: 7, Hash: "b", version: "2"}, {Index: 7, Hash: "c", version: "1"}}, true, true},
	} {
		if answered, differ := judgeTables(tt.all); answered != tt.answered || differ != tt.differ {
			t.Errorf("%s: answered %t, differ %t, want %t, %t", name, answered, differ, tt.answered, tt.differ)
		}
	}
}
