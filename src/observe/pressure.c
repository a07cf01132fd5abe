#include "observe/pressure.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "observe/proc_file.h"
#include "observe/proc_text.h"

/* "12.34"; the kernel writes two digits after the point. */
static bool take_percent(struct slice *rest, double *out)
{
    uint64_t whole, hundredths;
    if (!proc_take_u64(rest, &whole) || !proc_take_char(rest, '.')) return false;
    size_t before = rest->len;
    if (!proc_take_u64(rest, &hundredths) || before - rest->len != 2) return false;
    *out = (double)whole + (double)hundredths / 100;
    return true;
}

static bool take_key(struct slice *rest, const char *key)
{
    while (proc_take_char(rest, ' ')) continue;
    struct slice prefix = slice_of(key);
    if (!slice_starts_with(*rest, prefix)) return false;
    rest->data += prefix.len;
    rest->len -= prefix.len;
    return true;
}

static bool parse_line(struct slice rest, struct pressure_line *out)
{
    uint64_t total_us;
    if (!take_key(&rest, "avg10=") || !take_percent(&rest, &out->avg10)) return false;
    if (!take_key(&rest, "avg60=") || !take_percent(&rest, &out->avg60)) return false;
    if (!take_key(&rest, "avg300=") || !take_percent(&rest, &out->avg300)) return false;
    if (!take_key(&rest, "total=") || !proc_take_u64(&rest, &total_us)) return false;
    return !__builtin_mul_overflow(total_us, 1000, &out->stalled_ns);
}

bool pressure_parse(struct slice text, struct pressure *out)
{
    struct slice rest = text, line, word;
    memset(out, 0, sizeof(*out));
    while (proc_take_line(&rest, &line)) {
        if (!proc_take_word(&line, &word)) return false;
        bool is_some = slice_equal(word, SLICE("some"));
        if (!is_some && !slice_equal(word, SLICE("full"))) return false;
        if (!parse_line(line, is_some ? &out->some : &out->full)) return false;
        out->is_known |= is_some;
    }
    return out->is_known; /* kernels before 5.13 have no "full" for the CPU */
}

static int read_one(int directory, const char *name, const char *suffix, struct pressure *out)
{
    char path[64], memory[512];
    struct slice text;
    snprintf(path, sizeof(path), "%s%s", name, suffix);
    int error = proc_file_load(directory, path, memory, sizeof(memory), &text);
    if (error) return error;
    return pressure_parse(text, out) ? 0 : EPROTO;
}

void pressure_read(int directory, const char *suffix, const char *whose, struct pressure_set *out,
                   struct notes *notes)
{
    const struct {
        const char *name;
        struct pressure *to;
    } rows[] = { { "cpu", &out->cpu }, { "memory", &out->memory }, { "io", &out->io } };
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        int error = read_one(directory, rows[i].name, suffix, rows[i].to);
        if (!error) continue;
        memset(rows[i].to, 0, sizeof(*rows[i].to));
        if (error == ENOENT || error == EOPNOTSUPP)
            notes_add(notes, "%s %s pressure: not told; the kernel needs CONFIG_PSI and psi=1", whose,
                      rows[i].name);
        else
            notes_add(notes, "%s %s pressure: %s", whose, rows[i].name, strerror(error));
    }
}

void pressure_read_machine(const char *proc_root, struct pressure_set *out, struct notes *notes)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/pressure", proc_root ? proc_root : "/proc");
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    pressure_read(directory, "", "the machine's", out, notes); /* of no directory: noted as missing */
    if (directory >= 0) close(directory);
}
