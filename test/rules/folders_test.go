package rules

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFoldersHaveAPage(t *testing.T) {
	root := filepath.Join("..", "..")
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") || e.Name() == "bin" {
			continue
		}
		page, err := os.ReadFile(filepath.Join(root, e.Name(), "README.md"))
		if err != nil {
			t.Errorf("%s/ has no README.md: what does it own, and where does one begin to read?", e.Name())
		} else if !strings.HasPrefix(string(page), "# ") {
			t.Errorf("%s/README.md does not begin with a title", e.Name())
		}
	}
}
