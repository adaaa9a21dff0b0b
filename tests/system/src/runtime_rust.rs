// SPDX-License-Identifier: Apache-2.0
//! What Rust's standard library asks of a kernel. What it prints is the same on every run.
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::{mpsc, Arc, Barrier, Condvar, Mutex, RwLock};
use std::thread;
use std::time::{Duration, Instant};

fn threads() {
    let shared = Arc::new(Mutex::new(HashMap::new()));
    let barrier = Arc::new(Barrier::new(20));
    let (send, receive) = mpsc::sync_channel(10);
    let workers: Vec<_> = (0..20u64)
        .map(|id| {
            let (shared, barrier, send) = (shared.clone(), barrier.clone(), send.clone());
            thread::spawn(move || {
                barrier.wait();
                for i in 0..1000 {
                    *shared.lock().unwrap().entry(i % 50).or_insert(0u64) += id;
                    send.send(i).unwrap();
                }
                id
            })
        })
        .collect();
    drop(send);
    let received: u64 = receive.iter().sum();
    let ids: u64 = workers.into_iter().map(|w| w.join().unwrap()).sum();
    let map = shared.lock().unwrap();
    println!("{} {} {} {}", received, ids, map.len(), map.values().sum::<u64>());

    let words = RwLock::new(vec![0u32; 100]);
    thread::scope(|s| {
        for i in 0..10 {
            let words = &words;
            s.spawn(move || {
                for j in 0..1000 {
                    if j % 10 == 0 {
                        words.write().unwrap()[i * 10] += 1;
                    } else {
                        assert!(words.read().unwrap()[i * 10] <= 100);
                    }
                }
            });
        }
    });
    println!("{}", words.read().unwrap().iter().sum::<u32>());

    let panicked = thread::spawn(|| {
        std::panic::set_hook(Box::new(|_| {}));
        panic!("on purpose")
    });
    println!("{}", panicked.join().is_err());
    let _ = std::panic::take_hook();
    let pair = (Mutex::new(false), Condvar::new());
    let start = Instant::now();
    let (_guard, timeout) =
        pair.1.wait_timeout_while(pair.0.lock().unwrap(), Duration::from_millis(50), |done| !*done).unwrap();
    println!("{} {}", timeout.timed_out(), start.elapsed() >= Duration::from_millis(50));
}

fn files() -> std::io::Result<()> {
    let top = std::env::temp_dir().join(format!("rust-{}", std::process::id()));
    fs::create_dir(&top)?;
    let path = top.join("lines");
    let mut out = BufWriter::new(File::create(&path)?);
    for i in 0..50_000 {
        writeln!(out, "line {}", i * 7)?;
    }
    out.into_inner().unwrap().sync_all()?;
    let total: usize = BufReader::new(File::open(&path)?).lines().map(|l| l.unwrap().len()).sum();
    let mut f = File::options().read(true).write(true).open(&path)?;
    f.seek(SeekFrom::End(-10))?;
    let mut tail = String::new();
    f.read_to_string(&mut tail)?;
    f.set_len(100)?;
    println!("{} {:?} {} {}", total, tail, fs::metadata(&path)?.len(), fs::copy(&path, top.join("copy"))?);
    let mut names: Vec<_> = fs::read_dir(&top)?.map(|e| e.unwrap().file_name()).collect();
    names.sort();
    println!("{:?} {:?}", names, File::open(top.join("absent")).unwrap_err().kind());
    fs::remove_dir_all(&top)
}

fn children() -> std::io::Result<()> {
    let mut child = Command::new("sh").args(["-c", "cat; exit 5"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().unwrap().write_all(b"through a child")?;
    let out = child.wait_with_output()?;
    println!("{:?} {:?}", String::from_utf8_lossy(&out.stdout), out.status.code());
    let mut sleeper = Command::new("sleep").arg("1000").spawn()?;
    sleeper.kill()?;
    println!("{:?}", sleeper.wait()?.signal());
    println!("{:?}", Command::new("/nonexistent").spawn().unwrap_err().kind());
    Ok(())
}

fn main() -> std::io::Result<()> {
    threads();
    files()?;
    children()
}
