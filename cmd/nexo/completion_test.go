package main

import (
	"os/exec"
	"strings"
	"testing"
)

// TestCompletion asks bash itself what it would offer.
func TestCompletion(t *testing.T) {
	printed := func(shell string) string {
		var out strings.Builder
		app := application()
		app.Writer = &out
		if err := app.Run([]string{"nexo", "completion", shell}); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	script := printed("bash")
	for _, test := range []struct{ words, at, want string }{
		{"nexo serv", "1", "server"},
		{"nexo server --maxm", "2", "--maxmemory-clients --maxmemory --maxmemory-policy"},
		{"nexo repair --app", "2", "--apply"},
		{"nexo server --passwor", "2", "--password-file"}, // not the hidden --password
	} {
		ask := script + "\nCOMP_WORDS=(" + test.words + ") COMP_CWORD=" + test.at + "\n_nexo\necho ${COMPREPLY[@]}\n"
		got, err := exec.Command("bash", "-c", ask).CombinedOutput()
		if err != nil || strings.TrimSpace(string(got)) != test.want {
			t.Errorf("%s: %q, %v; want %s", test.words, got, err, test.want)
		}
	}
	if zsh := printed("zsh"); !strings.HasSuffix(zsh, script) || !strings.Contains(zsh, "bashcompinit") {
		t.Errorf("zsh: %s", zsh)
	}
	if fish := printed("fish"); !strings.Contains(fish, "complete -c nexo -n '__fish_seen_subcommand_from server' -l maxmemory -d 'bytes") {
		t.Errorf("fish: %s", fish)
	}
	if err := application().Run([]string{"nexo", "completion", "csh"}); err == nil {
		t.Error("csh is known")
	}
}
