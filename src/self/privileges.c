#include "self/privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NAME_MAX_LEN 64u
#define ENTRY_ROOM ((size_t)64 << 10)
#define KEPT (UINT64_C(1) << CAP_NET_BIND_SERVICE)

/* By number, as linux/capability.h has them. */
static const char *const names[] = {
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
};
#define NAME_COUNT (sizeof(names) / sizeof(*names))

/* who it is to be */

struct identity {
    char name[NAME_MAX_LEN];
    uid_t user;
    gid_t group;
};

static int find_group(struct identity *who, const char *name, char *room, struct err *err)
{
    struct group entry, *found = NULL;
    int error = getgrnam_r(name, &entry, room, ENTRY_ROOM, &found);
    if (!found)
        return err_set(err, "user: the group %s cannot be found: %s", name,
                       error ? strerror(error) : "there is none of that name");
    who->group = found->gr_gid;
    return 0;
}

static int find_user(struct identity *who, char *room, struct err *err)
{
    struct passwd entry, *found = NULL;
    int error = getpwnam_r(who->name, &entry, room, ENTRY_ROOM, &found);
    if (!found)
        return err_set(err, "user: %s cannot be found: %s (Debian: adduser --system --group %s)", who->name,
                       error ? strerror(error) : "there is no such user", who->name);
    who->user = found->pw_uid;
    who->group = found->pw_gid;
    return who->user ? 0
                     : err_set(err, "user: %s is root, who keeps every right: leave `user` out", who->name);
}

static int find(struct identity *who, const char *user, struct err *err)
{
    size_t len = strcspn(user, ":");
    const char *group = user[len] ? user + len + 1 : NULL;
    if (!len || len >= sizeof(who->name) || (group && !*group))
        return err_set(err, "user: \"%s\" is no name, or name:group", user);
    memcpy(who->name, user, len);
    who->name[len] = 0;
    char *room = malloc(ENTRY_ROOM);
    if (!room) return err_set(err, "user: there is no memory to look for it");
    int result = find_user(who, room, err);
    if (result == 0 && group) result = find_group(who, group, room, err);
    free(room);
    return result;
}

int privileges_look_for(const char *user, struct err *err)
{
    struct identity who;
    return find(&who, user, err);
}

/* capabilities(7); libcap is not needed for two calls */

static uint64_t read_capabilities(void)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2] = { { 0 } };
    if (syscall(SYS_capget, &head, data) < 0) return 0;
    return (uint64_t)data[1].permitted << 32 | data[0].permitted;
}

static int write_capabilities(uint64_t wanted)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    uint32_t low = (uint32_t)wanted, high = (uint32_t)(wanted >> 32);
    const struct __user_cap_data_struct data[2] = { { low, low, low }, { high, high, high } };
    return (int)syscall(SYS_capset, &head, data);
}

/* No program that comes of this process may have another. Only root may: for others no_new_privs says it. */
static void bound_capabilities(void)
{
    for (unsigned i = 0; i < 64; i++)
        if (!(KEPT >> i & 1) && prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1) prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
}

static int reduce_capabilities(struct err *err)
{
    uint64_t kept = read_capabilities() & KEPT;
    if (write_capabilities(kept) < 0)
        return err_set(err, "user: capabilities cannot be given up: %s", strerror(errno));
    /* A newer weir has it by this alone; where the kernel refuses, it cannot bind low ports, and says so then. */
    if (kept) prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0);
    return 0;
}

void privileges_pass_on(void)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2] = { { 0 } };
    bool has_it = geteuid() != 0 && syscall(SYS_capget, &head, data) == 0 && data[0].permitted & KEPT;
    if (!has_it) return;
    data[0].inheritable |= (uint32_t)KEPT;
    if (syscall(SYS_capset, &head, data) < 0) return;
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0);
}

/* changing */

static int become(const struct identity *who, struct err *err)
{
    bound_capabilities();
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || initgroups(who->name, who->group) < 0 ||
        setresgid(who->group, who->group, who->group) < 0 || setresuid(who->user, who->user, who->user) < 0)
        return err_set(err, "user: weir cannot become %s: %s", who->name, strerror(errno));
    prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
    /* The kernel takes it away with the user: /proc/self would be root's, to which profiles and core files look. */
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    return 0;
}

int privileges_drop(const char *user, struct err *err)
{
    struct identity who;
    if (find(&who, user, err) < 0) return -1;
    bool is_root = geteuid() == 0 || getuid() == 0;
    bool is_he = geteuid() == who.user && getuid() == who.user &&
                 (!strchr(user, ':') || (getegid() == who.group && getgid() == who.group));
    if (!is_root && !is_he)
        return err_set(
            err,
            "user: weir runs as user %u of group %u, and only root can become %s: start it as root, "
            "or as %s (User= and Group= of systemd)",
            (unsigned)geteuid(), (unsigned)getegid(), user, user);
    if (is_root && become(&who, err) < 0) return -1;
    if (reduce_capabilities(err) < 0) return -1;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_set(err, "user: rights to come cannot be given up: %s", strerror(errno));
    if (setuid(0) == 0 || geteuid() == 0) return err_set(err, "user: root's rights are still there");
    return 0;
}

/* looking */

void privileges_read(struct privileges *out)
{
    *out = (struct privileges){ .user = geteuid(),
                                .group = getegid(),
                                .may_gain = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1,
                                .capabilities = read_capabilities() };
}

void privileges_print(uint64_t capabilities, struct text *out)
{
    bool has_one = false;
    for (unsigned i = 0; i < 64; i++) {
        if (!(capabilities >> i & 1)) continue;
        if (has_one) text_printf(out, " ");
        if (i < NAME_COUNT)
            text_printf(out, "%s", names[i]);
        else
            text_printf(out, "%u", i);
        has_one = true;
    }
    if (!has_one) text_printf(out, "none");
}
