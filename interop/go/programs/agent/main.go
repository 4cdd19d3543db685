// Agent serves one Ed25519 key over the ssh-agent protocol, which is how litewitness reaches its key.
//
// Usage: agent SOCKET SEED-FILE. The file holds 64 hexadecimal digits and is made if it is not there. The first line on
// standard output is the key's fingerprint, printed once the socket listens. It ends with its standard input.
package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"os"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

func seed(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		fresh := make([]byte, ed25519.SeedSize)
		if _, err := rand.Read(fresh); err != nil {
			return nil, err
		}
		return fresh, os.WriteFile(path, []byte(hex.EncodeToString(fresh)), 0o600)
	}
	if err != nil {
		return nil, err
	}
	return hex.DecodeString(string(text))
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: agent SOCKET SEED-FILE")
	}
	bytes, err := seed(os.Args[2])
	if err != nil || len(bytes) != ed25519.SeedSize {
		log.Fatalf("%s holds no seed: %v", os.Args[2], err)
	}
	key := ed25519.NewKeyFromSeed(bytes)
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		log.Fatal(err)
	}
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("unix", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ssh.FingerprintSHA256(public))
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_ = agent.ServeAgent(ring, conn)
			}()
		}
	}()
	_, _ = io.Copy(io.Discard, os.Stdin)
}
