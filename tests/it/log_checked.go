// Checks a log of Quarterdeck's with Go's own implementation of notes and trees. Run in a folder with key, checkpoint,
// old (an older checkpoint), entry and tile/..., with the entry's index as argument.
package main

import (
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func read(path string) []byte {
	data, err := os.ReadFile(path)
	must(err)
	return data
}

// The head that a checkpoint tells, if the key signed it. (tlog.ParseTree reads the notes of Go's checksum database alone.)
func open(path string) tlog.Tree {
	verifier, err := note.NewVerifier(string(read("key")))
	must(err)
	opened, err := note.Open(read(path), note.VerifierList(verifier))
	must(err)
	lines := strings.Split(opened.Text, "\n")
	if lines[0] != verifier.Name() {
		log.Fatal("another log")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(err)
	hash, err := tlog.ParseHash(lines[2])
	must(err)
	return tlog.Tree{N: size, Hash: hash}
}

// Tiles in files, with the paths of C2SP tlog-tiles: Go's own have the height in them.
type files struct{}

func (files) Height() int { return 8 }

func (files) SaveTiles([]tlog.Tile, [][]byte) {}

func (files) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		data, err := os.ReadFile(strings.Replace(tile.Path(), "tile/8/", "tile/", 1))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

func main() {
	log.SetFlags(0)
	tree, old := open("checkpoint"), open("old")
	index, err := strconv.ParseInt(os.Args[1], 10, 64)
	must(err)
	hashes := tlog.TileHashReader(tree, files{})
	inclusion, err := tlog.ProveRecord(tree.N, index, hashes)
	must(err)
	must(tlog.CheckRecord(inclusion, tree.N, tree.Hash, index, tlog.RecordHash(read("entry"))))
	consistency, err := tlog.ProveTree(tree.N, old.N, hashes)
	must(err)
	must(tlog.CheckTree(consistency, tree.N, tree.Hash, old.N, old.Hash))
	fmt.Printf("%d entries, as Go reads them\n", tree.N)
}
