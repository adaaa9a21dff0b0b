/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes: set, get, list and remove, by path, by path without following a last link,
 * and by descriptor.
 *
 * The three forms of a call share their tests: a form is the three numbers of the system calls and
 * whether its first argument is a descriptor. There are no attributes of the user namespace on
 * links, so for the l-forms the difference is tested by EPERM on a link.
 */
#include "cella_file.h"

#include <sys/xattr.h>

struct form {
    long set, get, list, remove;
    bool by_fd;
    bool follows;
};

static const struct form by_path = {SYS_setxattr, SYS_getxattr, SYS_listxattr, SYS_removexattr,
                                    false, true};
static const struct form by_link = {SYS_lsetxattr, SYS_lgetxattr, SYS_llistxattr, SYS_lremovexattr,
                                    false, false};
static const struct form by_fd = {SYS_fsetxattr, SYS_fgetxattr, SYS_flistxattr, SYS_fremovexattr,
                                  true, true};

/* The first argument that means the file, one that means nothing, and what errno that has. */
static long file_argument(const struct form *form)
{
    return form->by_fd ? cella_open("f", O_RDONLY) : (long)"f";
}

static long wrong_argument(const struct form *form)
{
    return form->by_fd ? CELLA_NO_FD : (long)"missing";
}

static int wrong_errno(const struct form *form)
{
    return form->by_fd ? EBADF : ENOENT;
}

/* Makes the file f and the link l to it, and skips where the file system has no user attributes. */
static void make_files(void)
{
    cella_scratch();
    cella_put_file("f", "x", 1);
    CHECK_OK(symlink("f", "l"));
    if (SYS(setxattr, "f", "user.probe", "", 0, 0) == -1 && errno == EOPNOTSUPP)
        SKIP("the file system of the temporary directory has no user attributes");
    CHECK_OK(SYS(removexattr, "f", "user.probe"));
}

static const char *name_of(size_t len)
{
    static char name[8200];
    snprintf(name, sizeof(name), "user.%s", cella_name(len - 5));
    return name;
}

/* Whether a list of names holds this one. Other names (security.*) may be there, too. */
static bool listed(const char *names, ssize_t len, const char *wanted)
{
    for (ssize_t at = 0; at < len; at += (ssize_t)strlen(names + at) + 1)
        if (!strcmp(names + at, wanted))
            return true;
    return false;
}

static bool is_there(const char *name)
{
    return SYS(getxattr, "f", name, NULL, 0) >= 0;
}

static void set_success(const struct form *form)
{
    char buf[16];
    make_files();
    long f = file_argument(form);
    CHECK_EQ(syscall(form->set, f, "user.a", "one", 3, 0), 0);
    CHECK_EQ(syscall(form->set, f, "user.a", "three", 5, XATTR_REPLACE), 0);
    CHECK_EQ(syscall(form->set, f, "user.b", "a\0b", 3, XATTR_CREATE), 0);
    CHECK_EQ(SYS(getxattr, "f", "user.a", buf, sizeof(buf)), 5);
    CHECK(!memcmp(buf, "three", 5));
    CHECK_EQ(SYS(getxattr, "f", "user.b", buf, sizeof(buf)), 3);
    CHECK(!memcmp(buf, "a\0b", 3));
    if (form->follows && !form->by_fd) {
        CHECK_EQ(syscall(form->set, "l", "user.c", "x", 1, 0), 0);
        CHECK(is_there("user.c"));
    }
}

static void set_error(const struct form *form)
{
    make_files();
    long f = file_argument(form);
    CHECK_OK(SYS(setxattr, "f", "user.a", "one", 3, 0));
    CHECK_ERRNO(syscall(form->set, f, "user.a", "x", 1, XATTR_CREATE), EEXIST);
    CHECK_ERRNO(syscall(form->set, f, "user.b", "x", 1, XATTR_REPLACE), ENODATA);
    CHECK_ERRNO(syscall(form->set, f, "user.b", "x", 1, 0x100), EINVAL);
    CHECK_ERRNO(syscall(form->set, f, "nospace.b", "x", 1, 0), EOPNOTSUPP);
    CHECK_ERRNO(syscall(form->set, f, "user.b", cella_bad_address(), 1, 0), EFAULT);
    CHECK_ERRNO(syscall(form->set, f, cella_bad_address(), "x", 1, 0), EFAULT);
    CHECK_ERRNO(syscall(form->set, wrong_argument(form), "user.a", "x", 1, 0), wrong_errno(form));
    if (!form->follows)
        CHECK_ERRNO(syscall(form->set, "l", "user.a", "x", 1, 0), EPERM);
    CHECK(!is_there("user.b"));
}

static void set_limit(const struct form *form)
{
    static char big[65537];
    char buf[4];
    make_files();
    long f = file_argument(form);
    CHECK_EQ(syscall(form->set, f, name_of(255), "x", 1, 0), 0);
    CHECK(is_there(name_of(255)));
    CHECK_ERRNO(syscall(form->set, f, name_of(256), "x", 1, 0), ERANGE);
    CHECK_ERRNO(syscall(form->set, f, "", "x", 1, 0), ERANGE);
    CHECK_ERRNO(syscall(form->set, f, "user.big", big, sizeof(big), 0), E2BIG);
    CHECK_EQ(syscall(form->set, f, "user.empty", NULL, 0, 0), 0);
    CHECK_EQ(SYS(getxattr, "f", "user.empty", buf, sizeof(buf)), 0);
}

static void get_success(const struct form *form)
{
    char buf[16] = "########";
    make_files();
    long f = file_argument(form);
    CHECK_OK(SYS(setxattr, "f", "user.a", "one", 3, 0));
    CHECK_EQ(syscall(form->get, f, "user.a", buf, sizeof(buf)), 3);
    CHECK(!memcmp(buf, "one#", 4));
    if (form->follows && !form->by_fd)
        CHECK_EQ(syscall(form->get, "l", "user.a", buf, sizeof(buf)), 3);
}

static void get_error(const struct form *form)
{
    char buf[16];
    make_files();
    long f = file_argument(form);
    CHECK_OK(SYS(setxattr, "f", "user.a", "one", 3, 0));
    CHECK_ERRNO(syscall(form->get, f, "user.b", buf, sizeof(buf)), ENODATA);
    CHECK_ERRNO(syscall(form->get, f, "nospace.b", buf, sizeof(buf)), EOPNOTSUPP);
    CHECK_ERRNO(syscall(form->get, f, "user.a", cella_bad_address(), 16), EFAULT);
    CHECK_ERRNO(syscall(form->get, f, cella_bad_address(), buf, sizeof(buf)), EFAULT);
    CHECK_ERRNO(syscall(form->get, wrong_argument(form), "user.a", buf, sizeof(buf)),
                wrong_errno(form));
    if (!form->follows)
        CHECK_ERRNO(syscall(form->get, "l", "user.a", buf, sizeof(buf)), ENODATA);
}

static void get_limit(const struct form *form)
{
    char buf[16];
    make_files();
    long f = file_argument(form);
    CHECK_OK(SYS(setxattr, "f", "user.a", "one", 3, 0));
    CHECK_EQ(syscall(form->get, f, "user.a", NULL, 0), 3);
    CHECK_EQ(syscall(form->get, f, "user.a", buf, 3), 3);
    CHECK_ERRNO(syscall(form->get, f, "user.a", buf, 2), ERANGE);
    CHECK_ERRNO(syscall(form->get, f, name_of(256), buf, sizeof(buf)), ERANGE);
}

static void list_success(const struct form *form)
{
    char names[1024];
    make_files();
    long f = file_argument(form);
    CHECK_OK(SYS(setxattr, "f", "user.a", "1", 1, 0));
    CHECK_OK(SYS(setxattr, "f", "user.bb", "2", 1, 0));
    ssize_t len = syscall(form->list, f, names, sizeof(names));
    CHECK(len >= 15);
    CHECK(listed(names, len, "user.a") && listed(names, len, "user.bb"));
    CHECK(!listed(names, len, "user.c"));
    len = syscall(form->list, form->by_fd ? f : (long)"l", names, sizeof(names));
    CHECK_EQ(listed(names, len, "user.a"), form->follows);
}

static void list_error(const struct form *form)
{
    char names[1024];
    make_files();
    long f = file_argument(form);
    CHECK_OK(SYS(setxattr, "f", "user.a", "1", 1, 0));
    CHECK_ERRNO(syscall(form->list, wrong_argument(form), names, sizeof(names)),
                wrong_errno(form));
    CHECK_ERRNO(syscall(form->list, f, cella_bad_address(), sizeof(names)), EFAULT);
}

static void list_limit(const struct form *form)
{
    char names[1024];
    make_files();
    long f = file_argument(form);
    CHECK_OK(SYS(setxattr, "f", "user.a", "1", 1, 0));
    ssize_t len = syscall(form->list, f, NULL, 0);
    CHECK(len >= 7);
    CHECK_EQ(syscall(form->list, f, names, len), len);
    CHECK_ERRNO(syscall(form->list, f, names, len - 1), ERANGE);
}

static void remove_success(const struct form *form)
{
    make_files();
    long f = file_argument(form);
    CHECK_OK(SYS(setxattr, "f", "user.a", "1", 1, 0));
    CHECK_OK(SYS(setxattr, "f", "user.b", "2", 1, 0));
    CHECK_EQ(syscall(form->remove, f, "user.a"), 0);
    CHECK(!is_there("user.a") && is_there("user.b"));
    if (form->follows && !form->by_fd) {
        CHECK_EQ(syscall(form->remove, "l", "user.b"), 0);
        CHECK(!is_there("user.b"));
    }
}

static void remove_error(const struct form *form)
{
    make_files();
    long f = file_argument(form);
    CHECK_OK(SYS(setxattr, "f", "user.a", "1", 1, 0));
    CHECK_ERRNO(syscall(form->remove, f, "user.b"), ENODATA);
    CHECK_ERRNO(syscall(form->remove, f, "nospace.a"), EOPNOTSUPP);
    CHECK_ERRNO(syscall(form->remove, f, cella_bad_address()), EFAULT);
    CHECK_ERRNO(syscall(form->remove, wrong_argument(form), "user.a"), wrong_errno(form));
    if (!form->follows)
        CHECK_ERRNO(syscall(form->remove, "l", "user.a"), EPERM);
    CHECK(is_there("user.a"));
}

static void remove_limit(const struct form *form)
{
    make_files();
    long f = file_argument(form);
    CHECK_OK(SYS(setxattr, "f", name_of(255), "1", 1, 0));
    CHECK_EQ(syscall(form->remove, f, name_of(255)), 0);
    CHECK(!is_there(name_of(255)));
    CHECK_ERRNO(syscall(form->remove, f, name_of(256)), ERANGE);
    CHECK_ERRNO(syscall(form->remove, f, ""), ERANGE);
}

/* One test for each aspect of a call in one form. */
#define SET_SUCCESS "sets, replaces and creates values, bytes of zero among them"
#define SET_ERROR "there already, not there, unknown flags and namespaces, bad memory"
#define SET_LIMIT "names of 255 and values of 64 KiB are the longest, a value may be empty"
#define GET_SUCCESS "tells the value and its length"
#define GET_ERROR "not there, unknown namespace, no such file, bad memory"
#define GET_LIMIT "size 0 asks for the length, a buffer one byte short answers ERANGE"
#define LIST_SUCCESS "tells the names that were set and no others"
#define LIST_ERROR "no such file, bad memory"
#define LIST_LIMIT "size 0 asks for the length, a buffer one byte short answers ERANGE"
#define REMOVE_SUCCESS "removes one and leaves the others"
#define REMOVE_ERROR "not there, unknown namespace, no such file, bad memory"
#define REMOVE_LIMIT "names of 255 characters are the longest"

TEST(setxattr, success, SET_SUCCESS) { set_success(&by_path); }
TEST(setxattr, error, SET_ERROR) { set_error(&by_path); }
TEST(setxattr, limit, SET_LIMIT) { set_limit(&by_path); }
TEST(lsetxattr, success, SET_SUCCESS) { set_success(&by_link); }
TEST(lsetxattr, error, SET_ERROR) { set_error(&by_link); }
TEST(lsetxattr, limit, SET_LIMIT) { set_limit(&by_link); }
TEST(fsetxattr, success, SET_SUCCESS) { set_success(&by_fd); }
TEST(fsetxattr, error, SET_ERROR) { set_error(&by_fd); }
TEST(fsetxattr, limit, SET_LIMIT) { set_limit(&by_fd); }

TEST(getxattr, success, GET_SUCCESS) { get_success(&by_path); }
TEST(getxattr, error, GET_ERROR) { get_error(&by_path); }
TEST(getxattr, limit, GET_LIMIT) { get_limit(&by_path); }
TEST(lgetxattr, success, GET_SUCCESS) { get_success(&by_link); }
TEST(lgetxattr, error, GET_ERROR) { get_error(&by_link); }
TEST(lgetxattr, limit, GET_LIMIT) { get_limit(&by_link); }
TEST(fgetxattr, success, GET_SUCCESS) { get_success(&by_fd); }
TEST(fgetxattr, error, GET_ERROR) { get_error(&by_fd); }
TEST(fgetxattr, limit, GET_LIMIT) { get_limit(&by_fd); }

TEST(listxattr, success, LIST_SUCCESS) { list_success(&by_path); }
TEST(listxattr, error, LIST_ERROR) { list_error(&by_path); }
TEST(listxattr, limit, LIST_LIMIT) { list_limit(&by_path); }
TEST(llistxattr, success, LIST_SUCCESS) { list_success(&by_link); }
TEST(llistxattr, error, LIST_ERROR) { list_error(&by_link); }
TEST(llistxattr, limit, LIST_LIMIT) { list_limit(&by_link); }
TEST(flistxattr, success, LIST_SUCCESS) { list_success(&by_fd); }
TEST(flistxattr, error, LIST_ERROR) { list_error(&by_fd); }
TEST(flistxattr, limit, LIST_LIMIT) { list_limit(&by_fd); }

TEST(removexattr, success, REMOVE_SUCCESS) { remove_success(&by_path); }
TEST(removexattr, error, REMOVE_ERROR) { remove_error(&by_path); }
TEST(removexattr, limit, REMOVE_LIMIT) { remove_limit(&by_path); }
TEST(lremovexattr, success, REMOVE_SUCCESS) { remove_success(&by_link); }
TEST(lremovexattr, error, REMOVE_ERROR) { remove_error(&by_link); }
TEST(lremovexattr, limit, REMOVE_LIMIT) { remove_limit(&by_link); }
TEST(fremovexattr, success, REMOVE_SUCCESS) { remove_success(&by_fd); }
TEST(fremovexattr, error, REMOVE_ERROR) { remove_error(&by_fd); }
TEST(fremovexattr, limit, REMOVE_LIMIT) { remove_limit(&by_fd); }

TEST_MAIN()
