// SPDX-License-Identifier: Apache-2.0

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.IntStream;

/** What a Java virtual machine asks of a kernel. Argument: the part to run. What it prints is the same on every run. */
public class RuntimeJava {
    static long counter;

    static synchronized void count() {
        counter++;
    }

    static void threads() throws Exception {
        Map<Integer, Integer> map = new ConcurrentHashMap<>();
        List<Thread> all = new ArrayList<>();
        CountDownLatch start = new CountDownLatch(1);
        for (int t = 0; t < 200; t++) {
            Thread thread = new Thread(() -> {
                try {
                    start.await();
                } catch (InterruptedException e) {
                    return;
                }
                for (int i = 0; i < 2000; i++) {
                    count();
                    map.merge(i % 100, 1, Integer::sum);
                }
            });
            thread.start();
            all.add(thread);
        }
        start.countDown();
        for (Thread thread : all)
            thread.join();
        System.out.println(counter + " " + map.size() + " " + map.get(7));
        ExecutorService pool = Executors.newWorkStealingPool();
        List<Future<Long>> results = new ArrayList<>();
        for (int i = 0; i < 1000; i++) {
            int n = i;
            results.add(pool.submit(() -> IntStream.range(0, n).asLongStream().sum()));
        }
        long sum = 0;
        for (Future<Long> f : results)
            sum += f.get();
        System.out.println(sum + " " + IntStream.range(0, 1_000_000).parallel().filter(i -> i % 3 == 0).count());
        pool.shutdown();
        System.out.println(pool.awaitTermination(10, TimeUnit.SECONDS));
    }

    static void heap() throws Exception {
        Object[] kept = new Object[200_000];
        Thread[] workers = new Thread[4];
        AtomicInteger sum = new AtomicInteger();
        for (int w = 0; w < workers.length; w++) {
            int id = w;
            workers[w] = new Thread(() -> {
                for (int i = 0; i < 400_000; i++) {
                    byte[] b = new byte[500 + i % 3000];
                    b[0] = (byte) i;
                    if (i % 2 == 0)
                        kept[(i * 7 + id) % kept.length] = b;
                    sum.addAndGet(b[0]);
                }
            });
            workers[w].start();
        }
        for (Thread t : workers)
            t.join();
        List<byte[]> hoard = new ArrayList<>();
        boolean out = false;
        try {
            for (;;)
                hoard.add(new byte[16 << 20]);
        } catch (OutOfMemoryError e) {
            out = true;
        }
        int held = hoard.size();
        hoard.clear();
        System.gc();
        System.out.println(sum.get() + " " + out + " " + (held > 4));
    }

    int field = 5;

    static int of(RuntimeJava r) {
        return r.field;
    }

    /** Compiled code checks for null by a page fault. */
    static void nulls() {
        RuntimeJava there = new RuntimeJava();
        long sum = 0;
        int caught = 0;
        for (int i = 0; i < 300_000; i++) {
            try {
                sum += of(i > 200_000 && i % 1000 == 0 ? null : there);
            } catch (NullPointerException e) {
                caught++;
            }
        }
        int zero = caught - caught;
        try {
            sum += 7 / zero;
        } catch (ArithmeticException e) {
            caught++;
        }
        System.out.println(sum + " " + caught);
        System.out.println(depth(0) > 1000);
    }

    /** The guard pages at a stack's end. */
    static int deepest;

    static void down(int n) {
        deepest = n;
        down(n + 1);
    }

    static int depth(int n) {
        try {
            down(0);
        } catch (StackOverflowError e) {
            return deepest;
        }
        return 0;
    }

    static void interrupts() throws Exception {
        Thread sleeper = new Thread(() -> {
            try {
                Thread.sleep(1_000_000);
            } catch (InterruptedException e) {
                System.out.println("sleep interrupted");
            }
        });
        sleeper.start();
        Thread.sleep(50);
        sleeper.interrupt();
        sleeper.join();
        Object monitor = new Object();
        Thread waiter = new Thread(() -> {
            synchronized (monitor) {
                try {
                    monitor.wait();
                } catch (InterruptedException e) {
                    System.out.println("wait interrupted");
                }
            }
        });
        waiter.start();
        Thread.sleep(50);
        waiter.interrupt();
        waiter.join();
        Thread parked = new Thread(() -> {
            LockSupport.park();
            System.out.println("unparked " + Thread.interrupted());
        });
        parked.start();
        Thread.sleep(50);
        parked.interrupt();
        parked.join();
        long start = System.nanoTime();
        synchronized (monitor) {
            monitor.wait(100);
        }
        System.out.println(System.nanoTime() - start >= 99_000_000L);
        ScheduledExecutorService timer = Executors.newScheduledThreadPool(2);
        CountDownLatch ticks = new CountDownLatch(50);
        timer.scheduleAtFixedRate(ticks::countDown, 0, 1, TimeUnit.MILLISECONDS);
        System.out.println(ticks.await(20, TimeUnit.SECONDS));
        timer.shutdownNow();
    }

    static void processes() throws Exception {
        Process p = new ProcessBuilder("sh", "-c", "cat; echo to stderr >&2; exit 4").redirectErrorStream(true).start();
        try (OutputStream to = p.getOutputStream()) {
            to.write("through a child\n".getBytes());
        }
        System.out.print(new String(p.getInputStream().readAllBytes()));
        System.out.println(p.waitFor());
        List<Process> all = new ArrayList<>();
        for (int i = 0; i < 20; i++)
            all.add(new ProcessBuilder("sh", "-c", "exit " + i).start());
        StringBuilder codes = new StringBuilder();
        for (Process q : all)
            codes.append(q.waitFor()).append(' ');
        System.out.println(codes);
        Process sleeping = new ProcessBuilder("sleep", "1000").start();
        System.out.println(sleeping.waitFor(50, TimeUnit.MILLISECONDS) + " " + sleeping.isAlive());
        sleeping.destroy();
        System.out.println(sleeping.waitFor());
        try {
            new ProcessBuilder("/nonexistent").start();
        } catch (IOException e) {
            System.out.println(e.getMessage());
        }
    }

    static void files() throws Exception {
        Path path = Files.createTempFile("map", ".bin");
        int size = 8 << 20;
        try (FileChannel c = FileChannel.open(path, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            MappedByteBuffer map = c.map(FileChannel.MapMode.READ_WRITE, 0, size);
            for (int i = 0; i < size; i += 8)
                map.putLong(i, i * 31L);
            map.force();
            ByteBuffer b = ByteBuffer.allocateDirect(size);
            while (b.hasRemaining())
                c.read(b);
            b.flip();
            MessageDigest d = MessageDigest.getInstance("SHA-256");
            d.update(b);
            System.out.println(HexFormat.of().formatHex(d.digest()));
            System.out.println(c.lock() != null);
        }
        try (FileChannel from = FileChannel.open(path); FileChannel to = FileChannel.open(Path.of(path + ".copy"), StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
            System.out.println(from.transferTo(0, size, to));
        }
        System.out.println(Files.mismatch(path, Path.of(path + ".copy")));
        Files.delete(path);
        Files.delete(Path.of(path + ".copy"));
        try (var walk = Files.walk(Path.of("/etc/ssl"))) {
            System.out.println(walk.filter(Files::isDirectory).count() > 0);
        }
        System.out.println(new File("/proc/self/maps").exists());
    }

    static void server() throws Exception {
        ServerSocket listening = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        ExecutorService pool = Executors.newCachedThreadPool();
        pool.submit(() -> {
            for (;;) {
                Socket s = listening.accept();
                pool.submit(() -> {
                    try (s; InputStream in = s.getInputStream()) {
                        s.getOutputStream().write(in.readAllBytes());
                    }
                    return null;
                });
            }
        });
        long total = 0;
        for (int i = 0; i < 50; i++) {
            try (Socket s = new Socket(listening.getInetAddress(), listening.getLocalPort())) {
                s.getOutputStream().write(new byte[100 * i]);
                s.shutdownOutput();
                total += s.getInputStream().readAllBytes().length;
            }
        }
        System.out.println(total);
        System.exit(0);
    }

    public static void main(String[] args) throws Exception {
        switch (args[0]) {
        case "threads" -> threads();
        case "heap" -> heap();
        case "nulls" -> nulls();
        case "interrupts" -> interrupts();
        case "processes" -> processes();
        case "files" -> files();
        case "server" -> server();
        default -> System.exit(2);
        }
    }
}
