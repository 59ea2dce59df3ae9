// SPDX-License-Identifier: MIT

// usage: channel NODE: os.File does it all, deadlines too: the node can be polled.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

const channels = 50

func open(name string) (*os.File, error) {
	file, err := os.OpenFile(os.Args[1], os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if _, err = file.WriteString(name); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

func talk(i int) error {
	file, err := open("echo")
	if err != nil {
		return err
	}
	defer file.Close()
	data := bytes.Repeat([]byte(fmt.Sprintln(i)), 5000)
	back := make([]byte, len(data))
	if _, err = file.Write(data); err != nil {
		return err
	}
	if _, err = io.ReadFull(file, back); err != nil {
		return err
	}
	if !bytes.Equal(data, back) {
		return errors.New("other bytes")
	}
	if err = file.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		return err
	}
	if _, err = file.Read(back); !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("not a deadline: %v", err)
	}
	return nil
}

func main() {
	var group sync.WaitGroup
	failed := make(chan error, channels)
	for i := 0; i < channels; i++ {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			if err := talk(i); err != nil {
				failed <- err
			}
		}(i)
	}
	group.Wait()
	close(failed)
	for err := range failed {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if _, err := open("nosuch"); !errors.Is(err, os.ErrNotExist) {
		fmt.Fprintln(os.Stderr, "a refused name:", err)
		os.Exit(1)
	}
}
