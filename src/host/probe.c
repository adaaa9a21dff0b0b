/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine has of what the TEEs need; see probe.h. */
#include "probe.h"

#include <cpuid.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "cleanup.h"
#include "error.h"
#include "keep_process.h"
#include "wall.h"

#define DETAIL(...) snprintf(detail, size, __VA_ARGS__)

/* ---- the processor ---- */

struct cpuid {
    uint32_t a, b, c, d;
};

/* Zeros for a leaf that the processor does not have. */
static struct cpuid cpuid(uint32_t leaf, uint32_t sub)
{
    struct cpuid r = {0};
    if (!__get_cpuid_count(leaf, sub, &r.a, &r.b, &r.c, &r.d))
        return (struct cpuid){0};
    return r;
}

static bool bit(uint32_t word, unsigned n)
{
    return word >> n & 1;
}

static bool has_fsgsbase(char *detail, size_t size)
{
    DETAIL("%s", bit(cpuid(7, 0).b, 0) ? "the processor has it" : "the processor lacks it");
    return getauxval(AT_HWCAP2) & 2;
}

static bool has_xsave(char *detail, size_t size)
{
    struct cpuid c = cpuid(13, 1);
    DETAIL("xsavec %s", bit(c.a, 1) ? "yes" : "no, slower switches");
    return bit(cpuid(1, 0).c, 27);
}

static bool has_random(char *detail, size_t size)
{
    bool rdrand = bit(cpuid(1, 0).c, 30), rdseed = bit(cpuid(7, 0).b, 18);
    DETAIL("rdrand %s, rdseed %s", rdrand ? "yes" : "no", rdseed ? "yes" : "no");
    return rdrand || rdseed;
}

static bool has_invariant_tsc(char *detail, size_t size)
{
    char clock[32] = "unknown";
    FILE *file = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "re");
    if (file) {
        if (fscanf(file, "%31s", clock) != 1)
            strcpy(clock, "unknown");
        fclose(file);
    }
    DETAIL("the host's clock source is %s", clock);
    return bit(cpuid(0x80000007, 0).d, 8) || strcmp(clock, "tsc") == 0;
}

static bool has_svm_or_vmx(char *detail, size_t size)
{
    bool vmx = bit(cpuid(1, 0).c, 5), svm = bit(cpuid(0x80000001, 0).c, 2);
    DETAIL("%s", svm ? "AMD SVM" : vmx ? "Intel VMX" : "neither SVM nor VMX in CPUID");
    return svm || vmx;
}

static bool has_svm(char *detail, size_t size)
{
    (void)detail, (void)size;
    return bit(cpuid(0x80000001, 0).c, 2);
}

static bool has_sev_snp(char *detail, size_t size)
{
    uint32_t a = cpuid(0x8000001f, 0).a;
    DETAIL("sev %s, sev-es %s, sev-snp %s", bit(a, 1) ? "yes" : "no", bit(a, 3) ? "yes" : "no",
           bit(a, 4) ? "yes" : "no");
    return bit(a, 4);
}

static bool has_sgx(char *detail, size_t size)
{
    bool sgx = bit(cpuid(7, 0).b, 2), flc = bit(cpuid(7, 0).c, 30);
    DETAIL("sgx %s, launch control %s", sgx ? "yes" : "no", flc ? "yes" : "no");
    return sgx && flc;
}

/* ---- the host's kernel ---- */

static bool has_seccomp(char *detail, size_t size)
{
    uint32_t action = SECCOMP_RET_TRAP;
    bool trap = syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
    DETAIL("filters with RET_TRAP");
    return trap;
}

static bool has_landlock(char *detail, size_t size)
{
    int abi = wall_landlock_abi();
    if (abi)
        DETAIL("ABI %d", abi);
    return abi > 0;
}

/* Does a child of this process get these namespaces? */
static bool namespaces_permitted(unsigned long flags)
{
    long pid = syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0)
        _exit(0);
    if (pid < 0)
        return false;
    while (waitpid((pid_t)pid, NULL, 0) < 0 && errno == EINTR) {
    }
    return true;
}

static bool has_namespaces(char *detail, size_t size)
{
    static const struct {
        unsigned long flag;
        const char *name;
    } kinds[] = {{CLONE_NEWPID, "pid"},
                 {CLONE_NEWNS, "mount"},
                 {CLONE_NEWNET, "net"},
                 {CLONE_NEWIPC, "ipc"},
                 {CLONE_NEWUTS, "uts"}};
    if (namespaces_permitted(keep_process_wanted_namespaces())) {
        DETAIL("user, pid, mount, net, ipc, uts");
        return true;
    }
    bool user = namespaces_permitted(CLONE_NEWUSER);
    size_t len = (size_t)DETAIL("denied:%s", user ? "" : " user");
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && len < size; i++)
        if (!namespaces_permitted(kinds[i].flag | (user ? CLONE_NEWUSER : 0)))
            len += (size_t)snprintf(detail + len, size - len, " %s", kinds[i].name);
    return false;
}

static bool has_memfd(char *detail, size_t size)
{
    (void)detail, (void)size;
    cleanup_close int fd = memfd_create("cella-probe", MFD_CLOEXEC);
    /* The keep's kernel maps patched program text executable. */
    if (fd < 0 || ftruncate(fd, 4096) < 0)
        return false;
    void *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        return false;
    munmap(page, 4096);
    return true;
}

static bool has_membarrier(char *detail, size_t size)
{
    (void)detail, (void)size;
    long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
    return commands > 0 && (commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE);
}

static bool has_openat2(char *detail, size_t size)
{
    (void)detail, (void)size;
    return syscall(SYS_openat2, -1, NULL, NULL, 0) < 0 && errno != ENOSYS;
}

static bool has_proc(char *detail, size_t size)
{
    (void)detail, (void)size;
    return access("/proc/self/fd", X_OK) == 0;
}

static bool has_runtime(char *detail, size_t size)
{
    struct cella_error err;
    cleanup_close int fd = keep_runtime_open(&err);
    if (fd < 0)
        DETAIL("%s", err.message);
    return fd >= 0;
}

static bool opens(const char *path, char *detail, size_t size)
{
    cleanup_close int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        DETAIL("%s", strerror(errno));
    return fd >= 0;
}

static bool has_kvm(char *detail, size_t size)
{
    if (!opens("/dev/kvm", detail, size))
        return false;
    char ignored[64];
    if (!has_svm_or_vmx(ignored, sizeof(ignored)))
        DETAIL("paravirtual, without SVM or VMX below it: correct but slow in the guest's kernel "
               "mode");
    return true;
}

static bool has_tpm(char *detail, size_t size)
{
    return opens("/dev/tpmrm0", detail, size);
}

static bool has_sev_device(char *detail, size_t size)
{
    return opens("/dev/sev", detail, size);
}

static bool has_sgx_device(char *detail, size_t size)
{
    return opens("/dev/sgx_enclave", detail, size);
}

/* Is this module parameter of a KVM module switched on? */
static bool kvm_parameter(const char *path, char *detail, size_t size)
{
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    char value = 0;
    if (fd < 0 || read(fd, &value, 1) != 1) {
        DETAIL("%s is not there", path);
        return false;
    }
    return value == 'Y' || value == '1';
}

static bool has_snp_kvm(char *detail, size_t size)
{
    return kvm_parameter("/sys/module/kvm_amd/parameters/sev_snp", detail, size);
}

static bool has_tdx_kvm(char *detail, size_t size)
{
    return kvm_parameter("/sys/module/kvm_intel/parameters/tdx", detail, size);
}

/* ---- the TEEs ---- */

#define FIX_KVM_GROUP                                                                              \
    "modprobe kvm_amd || modprobe kvm_intel; then adduser $USER kvm, and log in again"
#define FIX_CPU                                                                                    \
    "cannot be mended here: another processor is needed, or in a virtual machine one that passes " \
    "it through"
#define FIX_TPM "switch the TPM on in the firmware; then adduser $USER tss, and log in again"

static const struct probe process_probes[] = {
    {"fsgsbase", has_fsgsbase, true,
     "boot without nofsgsbase on a Linux of at least 5.9; a processor before Ivy Bridge or "
     "Steamroller cannot"},
    {"xsave", has_xsave, true, FIX_CPU},
    {"random", has_random, true, FIX_CPU},
    {"tsc", has_invariant_tsc, true, FIX_CPU},
    {"seccomp", has_seccomp, true,
     "boot a kernel with CONFIG_SECCOMP_FILTER=y; in a container: --security-opt "
     "seccomp=unconfined"},
    {"landlock", has_landlock, false,
     "add lsm=landlock,... to the kernel's command line (CONFIG_SECURITY_LANDLOCK=y, Linux 5.13)"},
    {"namespaces", has_namespaces, false,
     "sysctl -w user.max_user_namespaces=15000; on Debian also kernel.unprivileged_userns_clone=1, "
     "on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0; in a container: --security-opt "
     "seccomp=unconfined"},
    {"memfd", has_memfd, true, "sysctl -w vm.memfd_noexec=0"},
    {"membarrier", has_membarrier, true, "boot a kernel with CONFIG_MEMBARRIER=y, at least 4.16"},
    {"openat2", has_openat2, false, "boot Linux 5.6 or later"},
    {"proc", has_proc, true, "mount -t proc proc /proc"},
    {"runtime", has_runtime, true, "make, or make install"},
    {0},
};

static const struct probe kvm_probes[] = {
    {"virtualization", has_svm_or_vmx, false,
     "switch SVM or VT-x on in the firmware, or nested virtualization in the hypervisor below"},
    {"/dev/kvm", has_kvm, true, FIX_KVM_GROUP},
    {"/dev/tpmrm0", has_tpm, false, FIX_TPM},
    {0},
};

static const struct probe monitor_probes[] = {
    {"svm", has_svm, true, "switch SVM on in the firmware; an Intel processor cannot"},
    {"/dev/tpmrm0", has_tpm, true, FIX_TPM},
    {0},
};

static const struct probe snp_probes[] = {
    {"sev-snp", has_sev_snp, true, FIX_CPU " (AMD EPYC 7003 or later)"},
    {"kvm sev_snp", has_snp_kvm, true,
     "switch SEV-SNP on in the firmware and boot with kvm_amd.sev=1 kvm_amd.sev_snp=1 on Linux "
     "6.11 or later"},
    {"/dev/kvm", has_kvm, true, FIX_KVM_GROUP},
    {"/dev/sev", has_sev_device, true,
     "modprobe ccp; then chgrp kvm /dev/sev && chmod 660 /dev/sev"},
    {0},
};

static const struct probe tdx_probes[] = {
    {"kvm tdx", has_tdx_kvm, true,
     "switch TDX on in the firmware and boot with kvm_intel.tdx=1 on Linux 6.16 or later; needs an "
     "Intel Xeon of the 4th generation (selected models) or "
     "later"},
    {"/dev/kvm", has_kvm, true, FIX_KVM_GROUP},
    {0},
};

static const struct probe sgx_probes[] = {
    {"sgx", has_sgx, true,
     "switch SGX on in the firmware; without it in the processor: another one is needed"},
    {"/dev/sgx_enclave", has_sgx_device, true,
     "boot Linux 5.11 or later with CONFIG_X86_SGX=y; then adduser $USER sgx, and log in again"},
    {0},
};

const struct tee tees[] = {
    {"process", "none", "a host process behind seccomp and Landlock; not a TEE", true,
     process_probes},
    {"kvm", "host", "a virtual machine; the host's root can still read it", false, kvm_probes},
    {"monitor", "isolated", "a virtual machine below a measured monitor", false, monitor_probes},
    {"snp", "tee", "AMD SEV-SNP", false, snp_probes},
    {"tdx", "tee", "Intel TDX", false, tdx_probes},
    {"sgx", "tee", "Intel SGX", false, sgx_probes},
    {0},
};
