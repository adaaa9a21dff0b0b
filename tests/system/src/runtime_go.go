// SPDX-License-Identifier: Apache-2.0

// What Go's runtime asks of a kernel: threads under goroutines, preemption of tight loops by SIGURG, a heap that is given back,
// signals, children, timers, files. Argument: the part to run. What it prints is the same on every run.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func check(err error) {
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

func goroutines() {
	jobs, sums := make(chan int), make(chan int)
	var wg sync.WaitGroup
	for i := 0; i < 1000; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			sum := 0
			for j := range jobs {
				sum += j
			}
			sums <- sum
		}()
	}
	go func() {
		for i := 0; i < 100000; i++ {
			jobs <- i
		}
		close(jobs)
		wg.Wait()
		close(sums)
	}()
	total := 0
	for s := range sums {
		total += s
	}
	fmt.Println("sum", total)

	// Blocked in system calls, each goroutine holds a thread.
	var in sync.WaitGroup
	var bytesRead int64
	var writers []int
	for i := 0; i < 100; i++ {
		var p [2]int
		check(syscall.Pipe(p[:]))
		writers = append(writers, p[1])
		in.Add(1)
		go func(fd int) {
			defer in.Done()
			var b [16]byte
			n, err := syscall.Read(fd, b[:])
			check(err)
			atomic.AddInt64(&bytesRead, int64(n))
		}(p[0])
	}
	time.Sleep(50 * time.Millisecond)
	for _, w := range writers {
		_, err := syscall.Write(w, []byte("hello"))
		check(err)
	}
	in.Wait()
	fmt.Println("blocked readers got", bytesRead)
}

//go:noinline
func spin(stop *int32, n *int64) {
	for atomic.LoadInt32(stop) == 0 {
		*n++
	}
}

// A loop without a call yields to nobody unless a signal preempts it.
func preemption() {
	runtime.GOMAXPROCS(1)
	var stop int32
	var n int64
	done := make(chan bool)
	go func() {
		spin(&stop, &n)
		done <- true
	}()
	for i := 0; i < 20; i++ {
		runtime.GC() // stops the world: every loop must be stopped
		time.Sleep(time.Millisecond)
	}
	atomic.StoreInt32(&stop, 1)
	<-done
	fmt.Println("preempted", n > 0)
	runtime.GOMAXPROCS(runtime.NumCPU())
}

type node struct {
	left, right *node
	data        [64]byte
}

func tree(depth int) *node {
	if depth == 0 {
		return &node{}
	}
	return &node{left: tree(depth - 1), right: tree(depth - 1)}
}

func (n *node) count() int {
	if n == nil {
		return 0
	}
	return 1 + n.left.count() + n.right.count()
}

func collector() {
	debug.SetGCPercent(20)
	var wg sync.WaitGroup
	var total int64
	for i := 0; i < 8; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			kept := tree(12)
			for j := 0; j < 40; j++ {
				if tree(10).count() != 1<<11-1 {
					panic("a tree has lost nodes")
				}
			}
			atomic.AddInt64(&total, int64(kept.count()))
		}()
	}
	wg.Wait()
	big := make([][]byte, 0)
	for i := 0; i < 64; i++ {
		b := make([]byte, 4<<20)
		for j := 0; j < len(b); j += 4096 {
			b[j] = byte(i)
		}
		big = append(big, b)
	}
	sum := 0
	for _, b := range big {
		sum += int(b[4096])
	}
	big = nil
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fmt.Println("nodes", total, "sum", sum, "collected", m.NumGC > 10, "given back", m.HeapReleased > 64<<20)
}

func signals() {
	got := make(chan os.Signal, 10)
	signal.Notify(got, syscall.SIGUSR1, syscall.SIGWINCH)
	for _, s := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGWINCH} {
		check(syscall.Kill(os.Getpid(), s))
		fmt.Println("signal", <-got)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	check(syscall.Kill(os.Getpid(), syscall.SIGTERM))
	<-ctx.Done()
	cancel()
	fmt.Println("context", ctx.Err())
	func() {
		defer func() { fmt.Println("recovered:", recover()) }()
		var p *node
		fmt.Println(p.data[3]) // a nil dereference is a SIGSEGV
	}()
	func() {
		defer func() { fmt.Println("recovered:", recover()) }()
		zero := 0
		fmt.Println(1 / zero)
	}()
}

func children() {
	out, err := exec.Command("/bin/sh", "-c", "echo from a child; exit 3").Output()
	var exit *exec.ExitError
	fmt.Printf("%q %v\n", out, errors.As(err, &exit) && exit.ExitCode() == 3)
	cat := exec.Command("cat")
	cat.Stdin = strings.NewReader(strings.Repeat("x", 1<<20))
	out, err = cat.Output()
	check(err)
	fmt.Println("cat", len(out))
	var wg sync.WaitGroup
	results := make([]string, 30)
	for i := range results {
		wg.Add(1)
		go func(i int) {
			defer wg.Done()
			out, err := exec.Command("/bin/echo", fmt.Sprint(i)).CombinedOutput()
			results[i] = strings.TrimSpace(string(out)) + fmt.Sprint(err)
		}(i)
	}
	wg.Wait()
	fmt.Println(strings.Join(results, " "))
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	fmt.Println("sleep:", exec.CommandContext(ctx, "sleep", "100").Run())
}

func timers() {
	start := time.Now()
	var order []int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, i := range []int{3, 1, 2} {
		wg.Add(1)
		i := i
		time.AfterFunc(time.Duration(i)*100*time.Millisecond, func() {
			mu.Lock()
			order = append(order, i)
			mu.Unlock()
			wg.Done()
		})
	}
	wg.Wait()
	tick := time.NewTicker(time.Millisecond)
	for i := 0; i < 50; i++ {
		<-tick.C
	}
	tick.Stop()
	d := time.Since(start)
	fmt.Println(order, d >= 350*time.Millisecond)
}

func files() {
	top, err := os.MkdirTemp("", "walk")
	check(err)
	defer os.RemoveAll(top)
	for i := 0; i < 20; i++ {
		dir := filepath.Join(top, fmt.Sprint("d", i%5), fmt.Sprint("e", i))
		check(os.MkdirAll(dir, 0o755))
		for j := 0; j < 10; j++ {
			check(os.WriteFile(filepath.Join(dir, fmt.Sprint(j)), bytes.Repeat([]byte{byte(i)}, 1000*j), 0o640))
		}
	}
	var names []string
	h := sha256.New()
	check(filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		check(err)
		rel, _ := filepath.Rel(top, path)
		info, err := d.Info()
		check(err)
		names = append(names, fmt.Sprint(rel, d.Type(), info.Mode()))
		if d.Type().IsRegular() {
			f, err := os.Open(path)
			check(err)
			defer f.Close()
			_, err = io.Copy(h, f)
			check(err)
		}
		return nil
	}))
	sort.Strings(names)
	fmt.Println(len(names), names[7], names[len(names)-1])
	fmt.Printf("%x\n", h.Sum(nil))
	_, err = os.Open(filepath.Join(top, "absent"))
	fmt.Println(errors.Is(err, fs.ErrNotExist))
}

func server() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body) // all of it: the server may drop what is unread once the answer has begun
		check(err)
		_, _ = w.Write(body)
	})
	mux.HandleFunc("/hello", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello ", r.URL.Query().Get("who")) })
	s := &http.Server{Handler: mux}
	go func() { _ = s.Serve(l) }()
	base := "http://" + l.Addr().String()
	var wg sync.WaitGroup
	var total int64
	for i := 0; i < 50; i++ {
		wg.Add(1)
		go func(i int) {
			defer wg.Done()
			body := bytes.Repeat([]byte{byte(i)}, 10000*i)
			resp, err := http.Post(base+"/echo", "application/octet-stream", bytes.NewReader(body))
			check(err)
			got, err := io.ReadAll(resp.Body)
			check(err)
			resp.Body.Close()
			if !bytes.Equal(got, body) {
				panic("the echo differs")
			}
			atomic.AddInt64(&total, int64(len(got)))
		}(i)
	}
	wg.Wait()
	resp, err := http.Get(base + "/hello?who=you")
	check(err)
	text, err := io.ReadAll(resp.Body)
	check(err)
	fmt.Println("echoed", total, resp.StatusCode, string(text))
	check(s.Shutdown(context.Background()))
}

func main() {
	parts := map[string]func(){"goroutines": goroutines, "preemption": preemption, "collector": collector, "signals": signals,
		"children": children, "timers": timers, "files": files, "server": server}
	parts[os.Args[1]]()
}
