/* SPDX-License-Identifier: Apache-2.0 */
/* Makes one system call with numbers from the command line; exits with its errno, 0 if it succeeded. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    long a[7] = {0};
    for (int i = 1; i < argc && i <= 7; i++)
        a[i - 1] = strtol(argv[i], NULL, 0);
    return syscall(a[0], a[1], a[2], a[3], a[4], a[5], a[6]) < 0 ? errno : 0;
}
