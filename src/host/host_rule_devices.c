#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "host/host_rule.h"

#define NET "/sys/class/net"
#define INTERFACES_MAX 24u
#define QUEUES_MAX 256u
/* In percent of the packets received or sent. */
#define LOST_MUCH 0.1

static bool is_interface(const char *name)
{
    return strcmp(name, "lo") != 0;
}

static bool is_receive_queue(const char *name)
{
    return strncmp(name, "rx-", 3) == 0;
}

static bool is_up(const struct host_exam *e, const char *interface)
{
    char path[HOST_PATH_MAX], state[32];
    host_path(path, NET, interface, "operstate");
    return host_read(e->facts->root, path, state, sizeof(state)) >= 0 && strcmp(state, "up") == 0;
}

/* Calls `look` for each interface that is up, loopback left out. */
static void for_each_up(struct host_exam *e, void (*look)(struct host_exam *e, const char *interface))
{
    struct host_entry entries[INTERFACES_MAX];
    uint32_t up = 0;
    int count = host_names(e->facts->root, NET, is_interface, entries, INTERFACES_MAX);
    if (count < 0) {
        exam_say(e, HOST_NOTE, "not known: " NET ": %s", strerror(errno));
        return;
    }
    for (int i = 0; i < count; i++) {
        if (!is_up(e, entries[i].name)) continue;
        up++;
        e->subject = entries[i].name;
        look(e, entries[i].name);
        e->subject = NULL;
    }
    if (!up) exam_say(e, HOST_NOTE, "no interface but loopback is up");
}

/* A mask like "00000000,0000000f" with any bit set. */
static bool has_steering(const struct host_exam *e, const char *interface, const char *queue)
{
    char queues[HOST_PATH_MAX], path[HOST_PATH_MAX], mask[1024];
    host_path(queues, NET, interface, "queues");
    host_path(path, queues, queue, "rps_cpus");
    return host_read(e->facts->root, path, mask, sizeof(mask)) > 0 && strspn(mask, "0,") < strlen(mask);
}

static void mend_queues(struct host_exam *e, const char *interface, uint32_t cores)
{
    uint32_t shift = cores < 32 ? cores : 32;
    if (exam_is_plain(interface))
        exam_mend(e,
                  "ethtool -L %s combined %u || for q in " NET "/%s/queues/rx-*; do echo %" PRIx64
                  " > $q/rps_cpus; done",
                  interface, cores, interface, (UINT64_C(1) << shift) - 1);
}

static void look_at_queues(struct host_exam *e, const char *interface)
{
    struct host_entry queues[QUEUES_MAX];
    char path[HOST_PATH_MAX];
    host_path(path, NET, interface, "device");
    if (!host_exists(e->facts->root, path)) {
        exam_say(e, HOST_OK, "not a device of its own: what it receives has its queues elsewhere");
        return;
    }
    host_path(path, NET, interface, "queues");
    int count = host_names(e->facts->root, path, is_receive_queue, queues, QUEUES_MAX);
    if (count <= 0) {
        exam_say(e, HOST_NOTE, "not known: the device shows no queues");
        return;
    }
    uint32_t cores = exam_cores(e);
    bool is_steered = has_steering(e, interface, queues[0].name),
         is_short = (uint32_t)count < cores && !is_steered;
    exam_say(e, is_short ? count == 1 && cores > 2 ? HOST_WARN : HOST_NOTE : HOST_OK,
             "%d receive queue%s for %u cores%s", count, count == 1 ? "" : "s", cores,
             is_steered ? ", spread by software (RPS)" : "");
    if (is_short) mend_queues(e, interface, cores);
}

static uint64_t read_counter(const struct host_exam *e, const char *interface, const char *name)
{
    char statistics[HOST_PATH_MAX], path[HOST_PATH_MAX];
    uint64_t value;
    host_path(statistics, NET, interface, "statistics");
    host_path(path, statistics, name, NULL);
    return host_read_numbers(e->facts->root, path, &value, 1) < 0 ? 0 : value;
}

static double share_of(uint64_t lost, uint64_t passed)
{
    return lost ? 100.0 * (double)lost / ((double)lost + (double)passed) : 0;
}

static void look_at_losses(struct host_exam *e, const char *interface)
{
    char path[HOST_PATH_MAX];
    host_path(path, NET, interface, "statistics/rx_packets");
    if (!host_exists(e->facts->root, path)) {
        exam_say(e, HOST_NOTE, "not known: the interface has no statistics");
        return;
    }
    uint64_t ring = read_counter(e, interface, "rx_missed_errors") +
                    read_counter(e, interface, "rx_fifo_errors");
    uint64_t errors = read_counter(e, interface, "rx_errors") + read_counter(e, interface, "tx_errors");
    uint64_t drops = read_counter(e, interface, "rx_dropped") + read_counter(e, interface, "tx_dropped");
    uint64_t passed = read_counter(e, interface, "rx_packets") + read_counter(e, interface, "tx_packets");
    double share = share_of(ring + errors + drops, passed);
    enum host_verdict verdict = share > LOST_MUCH ? HOST_WARN : ring + errors + drops ? HOST_NOTE : HOST_OK;
    exam_say(e, verdict,
             "%" PRIu64 " dropped, %" PRIu64 " errors, %" PRIu64 " without room in the ring, of %" PRIu64
             " packets",
             drops, errors, ring, passed);
    if (verdict == HOST_OK || !exam_is_plain(interface)) return;
    if (ring)
        exam_mend(e, "ethtool -g %s; ethtool -G %s rx 4096", interface, interface);
    else
        exam_mend(e, "ethtool -S %s | grep -iE 'drop|err|miss'", interface);
}

static void check_queues(struct host_exam *e)
{
    for_each_up(e, look_at_queues);
}

static void check_losses(struct host_exam *e)
{
    for_each_up(e, look_at_losses);
}

static const struct host_rule rules[] = {
    { "nic_queues",
      "Each queue interrupts one core: with fewer queues than cores, one core receives for all.",
      check_queues },
    { "nic_losses", "A lost packet is sent again after 200 ms or more, which clients see as a slow request.",
      check_losses },
    { 0 },
};

const struct host_rule_group host_rule_devices = { "network devices", rules };
