/* SPDX-License-Identifier: Apache-2.0 */
/* Takes memory and uses all of it: hog MEGABYTES. Prints how much it got; exits with 12 (ENOMEM)
 * when it was refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int main(int argc, char **argv)
{
    int want = argc > 1 ? atoi(argv[1]) : 16;
    for (int got = 0; got < want; got++) {
        char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) {
            printf("refused at %d MiB\n", got);
            return 12;
        }
        memset(p, got + 1, 1 << 20);
    }
    printf("%d MiB\n", want);
    return 0;
}
