// Command modulezip writes a module in the layout of a module proxy: modulezip FOLDER VERSION OUTPUT.
// With GOPROXY=file://OUTPUT, `go get` installs it.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "modulezip:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) != 3 {
		return errors.New("usage: modulezip FOLDER VERSION OUTPUT")
	}
	folder, version, output := arguments[0], arguments[1], arguments[2]
	manifest, err := os.ReadFile(filepath.Join(folder, "go.mod"))
	if err != nil {
		return err
	}
	path := modfile.ModulePath(manifest)
	versions := filepath.Join(output, path, "@v")
	if err := os.MkdirAll(versions, 0o755); err != nil {
		return err
	}
	// A fixed time makes builds reproducible.
	info, err := json.Marshal(map[string]any{"Version": version, "Time": time.Unix(0, 0).UTC()})
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		version + ".info": info, version + ".mod": manifest, "list": []byte(version + "\n"),
	} {
		if err := os.WriteFile(filepath.Join(versions, name), content, 0o644); err != nil {
			return err
		}
	}
	archive, err := os.Create(filepath.Join(versions, version+".zip"))
	if err != nil {
		return err
	}
	err = zip.CreateFromDir(archive, module.Version{Path: path, Version: version}, folder)
	return errors.Join(err, archive.Close())
}
