package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"filippo.io/torchwood"
	flog "github.com/transparency-dev/formats/log"
	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

type keyOf struct {
	Error string `json:"error"`
	Name  string `json:"name"`
	Hash  string `json:"hash"`
}

func keyFrom(read func() (note.Verifier, error)) (key keyOf) {
	key.Error = verdict(func() error {
		v, err := read()
		if err == nil {
			key.Name, key.Hash = v.Name(), fmt.Sprintf("%08x", v.KeyHash())
		}
		return err
	})
	return key
}

// readVkey asks each library that reads verifier keys of this type; the others say nothing.
func readVkey(q struct{ Vkey string }) (map[string]keyOf, error) {
	read := map[string]keyOf{
		"mod":     keyFrom(func() (note.Verifier, error) { return note.NewVerifier(q.Vkey) }),
		"formats": keyFrom(func() (note.Verifier, error) { return fnote.NewVerifierForCosignatureV1(q.Vkey) }),
		"torchwood": keyFrom(func() (note.Verifier, error) {
			v, err := torchwood.NewCosignatureVerifier(q.Vkey)
			if err != nil {
				return nil, err
			}
			return v, nil
		}),
	}
	return read, nil
}

// keyType is the signature type that a verifier key claims.
func keyType(vkey string) byte {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return 0
	}
	key, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(key) == 0 {
		return 0
	}
	return key[0]
}

// verifierOf chooses the library for a key: x/mod for logs, for cosigners torchwood where it can, else formats.
func verifierOf(vkey string, cosigners string) (note.Verifier, error) {
	switch keyType(vkey) {
	case 0x01:
		return note.NewVerifier(vkey)
	case 0x04:
		if cosigners == "torchwood" {
			return torchwood.NewCosignatureVerifier(vkey)
		}
		return fnote.NewVerifierForCosignatureV1(vkey)
	case 0x06:
		return fnote.NewVerifierForCosignatureV1(vkey)
	}
	return nil, errors.New("unknown type of key")
}

type opened struct {
	Error string   `json:"error"`
	Text  string   `json:"text"`
	Sigs  []string `json:"sigs"`
}

// openNote opens a note with x/mod's sumdb/note, the cosigners' verifiers being formats' and, once more, torchwood's.
func openNote(q struct {
	Note  []byte
	Vkeys []string
}) (map[string]opened, error) {
	answer := map[string]opened{}
	for _, cosigners := range []string{"formats", "torchwood"} {
		var verifiers []note.Verifier
		for _, vkey := range q.Vkeys {
			v, err := verifierOf(vkey, cosigners)
			if err != nil {
				return nil, err
			}
			verifiers = append(verifiers, v)
		}
		var o opened
		o.Error = verdict(func() error {
			n, err := note.Open(q.Note, note.VerifierList(verifiers...))
			if err != nil {
				return err
			}
			o.Text = n.Text
			for _, sig := range n.Sigs {
				o.Sigs = append(o.Sigs, fmt.Sprintf("%s+%08x", sig.Name, sig.Hash))
			}
			return nil
		})
		answer[cosigners] = o
	}
	return answer, nil
}

type checkpoint struct {
	Error  string `json:"error"`
	Origin string `json:"origin"`
	Size   uint64 `json:"size"`
	Root   []byte `json:"root"`
}

func readCheckpoint(q struct{ Text string }) (map[string]checkpoint, error) {
	var t, f checkpoint
	t.Error = verdict(func() error {
		c, err := torchwood.ParseCheckpoint(q.Text)
		t.Origin, t.Size, t.Root = c.Origin, uint64(c.N), c.Hash[:]
		return err
	})
	f.Error = verdict(func() error {
		var c flog.Checkpoint
		rest, err := c.Unmarshal([]byte(q.Text))
		f.Origin, f.Size, f.Root = c.Origin, c.Size, c.Hash
		_ = rest
		return err
	})
	return map[string]checkpoint{"torchwood": t, "formats": f}, nil
}

type keys struct {
	Skey string `json:"skey"`
	Vkey string `json:"vkey"`
}

// generateKey makes a key of the kind "log", "cosigner" or "mldsa".
func generateKey(q struct{ Kind, Name string }) (k keys, err error) {
	if q.Kind == "mldsa" {
		k.Skey, k.Vkey, err = fnote.GenerateMLDSAKey(q.Name)
		return k, err
	}
	if k.Skey, k.Vkey, err = note.GenerateKey(nil, q.Name); err != nil {
		return k, err
	}
	if q.Kind == "cosigner" {
		k.Vkey, err = fnote.VKeyToCosignatureV1(k.Vkey)
	}
	return k, err
}

// signNote signs a text by logs and cosigns it by cosigners, in this order.
func signNote(q struct {
	Text            string
	Logs, Cosigners []string
}) (map[string][]byte, error) {
	var signers []note.Signer
	for _, skey := range q.Logs {
		s, err := note.NewSigner(skey)
		if err != nil {
			return nil, err
		}
		signers = append(signers, s)
	}
	for _, skey := range q.Cosigners {
		s, err := fnote.NewSignerForCosignatureV1(skey)
		if err != nil {
			return nil, err
		}
		signers = append(signers, s)
	}
	signed, err := note.Sign(&note.Note{Text: q.Text}, signers...)
	return map[string][]byte{"note": signed}, err
}
