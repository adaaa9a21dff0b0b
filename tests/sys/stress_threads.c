/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stress: 1,000 threads at once. All wait at one gate, so that they exist together; each then adds
 * its number to a sum under a mutex and keeps a thread-local mark of its own.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { NR_THREADS = 1000, STACK_BYTES = 64 * 1024 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate = PTHREAD_COND_INITIALIZER, all_here = PTHREAD_COND_INITIALIZER;
static int nr_here, gate_open;
static long sum;
static int nr_wrong;

static __thread long mark;

static void *run(void *arg)
{
    long mine = (long)arg;
    mark = mine;
    pthread_mutex_lock(&mutex);
    if (++nr_here == NR_THREADS)
        pthread_cond_signal(&all_here);
    while (!gate_open)
        pthread_cond_wait(&gate, &mutex);
    sum += mine;
    if (mark != mine)
        nr_wrong++;
    pthread_mutex_unlock(&mutex);
    return (void *)(mine * 2);
}

int main(void)
{
    static pthread_t thread[NR_THREADS];
    pthread_attr_t attributes;
    int nr_joined = 0;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    for (long i = 0; i < NR_THREADS; i++) {
        int err = pthread_create(&thread[i], &attributes, run, (void *)i);
        if (err) {
            printf("not ok threads: thread %ld of %d was refused: %s\n", i, NR_THREADS,
                   strerror(err));
            return 1;
        }
    }
    pthread_mutex_lock(&mutex);
    while (nr_here < NR_THREADS)
        pthread_cond_wait(&all_here, &mutex);
    gate_open = 1;
    pthread_cond_broadcast(&gate);
    pthread_mutex_unlock(&mutex);
    for (long i = 0; i < NR_THREADS; i++) {
        void *result = NULL;
        if (pthread_join(thread[i], &result) == 0 && (long)result == i * 2)
            nr_joined++;
    }
    printf("threads that existed together: %d\n", nr_here);
    printf("threads joined with their result: %d\n", nr_joined);
    printf("sum: %ld\n", sum);
    printf("wrong thread-local marks: %d\n", nr_wrong);
    return nr_joined == NR_THREADS && nr_wrong == 0 ? 0 : 1;
}
