
#include "host/host_rule.h"

#define ROOM_NONE (64u << 20)
#define ROOM_LITTLE (1u << 30)

static double percent(uint64_t part, uint64_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 100;
}

static void look_at_disk(struct host_exam *e, const struct host_disk *d)
{
    char room[32], all[32];
    if (!d->is_known) {
        exam_say(e, HOST_NOTE, "not known: where the %s goes cannot be looked at", d->use);
        return;
    }
    double bytes = percent(d->bytes_free, d->bytes), inodes = percent(d->inodes_free, d->inodes);
    bool is_out = d->bytes_free < ROOM_NONE || (d->inodes && inodes < 0.5);
    bool is_short = (bytes < 10 && d->bytes_free < 10ull * ROOM_LITTLE) || bytes < 3 || inodes < 10;
    exam_say(e,
             is_out     ? HOST_FAIL
             : is_short ? HOST_WARN
                        : HOST_OK,
             "%s: %s of %s are free, and %.0f %% of the inodes", d->use, exam_bytes(d->bytes_free, room),
             exam_bytes(d->bytes, all), inodes);
    if ((is_out || is_short) && exam_is_plain(d->path))
        exam_mend(e, "df -h %s; df -i %s; du -xh --max-depth=2 %s | sort -h | tail", d->path, d->path,
                  d->path);
}

static void check_room(struct host_exam *e)
{
    if (!e->facts->disk_count) exam_say(e, HOST_NOTE, "not known: only files were looked at, no file system");
    for (uint32_t i = 0; i < e->facts->disk_count; i++) {
        e->subject = e->facts->disks[i].path;
        look_at_disk(e, &e->facts->disks[i]);
    }
}

static void check_pressure(struct host_exam *e)
{
    struct exam_pressure p;
    if (!exam_pressure(e, "/proc/pressure/io", &p)) return;
    exam_say(e,
             p.full > 20   ? HOST_WARN
             : p.some > 20 ? HOST_NOTE
                           : HOST_OK,
             "a thread waited for a disk in %.0f %% of the last minute, all of them in %.0f %%", p.some,
             p.full);
    if (p.some > 20 || p.full > 20) exam_mend(e, "iostat -x 5 2");
}

static const struct host_rule rules[] = {
    { "disk_room", "On a full disk access logs and cores are lost, and other programs fail.", check_room },
    { "pressure_io",
      "Workers never wait for a disk, but what writes their logs does, and log lines are dropped then.",
      check_pressure },
    { 0 },
};

const struct host_rule_group host_rule_disks = { "disks", rules };
