/* SPDX-License-Identifier: Apache-2.0 */
/* The names of the system, for uname(2), /proc/sys/kernel and boot. */
#ifndef CELLA_KERNEL_PROC_SYSINFO_H
#define CELLA_KERNEL_PROC_SYSINFO_H

/* struct new_utsname: 390 bytes */
struct uts_name {
    char sysname[65], nodename[65], release[65], version[65], machine[65], domainname[65];
};
_Static_assert(sizeof(struct uts_name) == 390, "struct new_utsname");

void sysinfo_get_names(struct uts_name *out);
/* At boot: the keep's host name; cut to 64 bytes. */
void sysinfo_set_hostname(const char *name);

#endif
