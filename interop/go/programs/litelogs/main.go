// Litelogs adds logs to the database of a litewitness, as its own witnessctl does, which cannot be built here.
//
// Usage: litelogs DATABASE, with one log a line on standard input: its origin, a tab, its verifier key.
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"log"
	"os"
	"strings"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: litelogs DATABASE")
	}
	if err := add(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func add(path string) (err error) {
	db, err := sqlite.OpenConn(path, 0)
	if err != nil {
		return err
	}
	defer db.Close()
	defer sqlitex.Save(db)(&err)
	empty := sha256.Sum256(nil)
	root := base64.StdEncoding.EncodeToString(empty[:])
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		origin, vkey, ok := strings.Cut(lines.Text(), "\t")
		if !ok {
			log.Fatalf("no tab in %q", lines.Text())
		}
		log := &sqlitex.ExecOptions{Args: []any{origin, root}}
		if err := sqlitex.Execute(db, "INSERT INTO log (origin, tree_size, tree_hash) VALUES (?, 0, ?)", log); err != nil {
			return err
		}
		key := &sqlitex.ExecOptions{Args: []any{origin, vkey}}
		if err := sqlitex.Execute(db, "INSERT INTO key (origin, key) VALUES (?, ?)", key); err != nil {
			return err
		}
	}
	return lines.Err()
}
