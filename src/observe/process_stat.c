#include "observe/process_stat.h"

#include <string.h>

#include "observe/proc_text.h"

/* Numbers as proc(5) counts them; the first after the state is 4. */
#define FIELD_FIRST 4u
#define FIELD_LAST 42u

static bool read_fields(struct slice rest, uint64_t fields[FIELD_LAST + 1])
{
    for (uint32_t i = FIELD_FIRST; i <= FIELD_LAST; i++) {
        struct slice word;
        if (!proc_take_word(&rest, &word)) return false;
        bool is_negative = proc_take_char(&word, '-');
        if (!proc_u64(word, &fields[i])) return false;
        if (is_negative) fields[i] = 0; /* priorities, "no terminal" */
    }
    return true;
}

static void copy_name(char out[PROCESS_NAME_MAX], struct slice name)
{
    size_t len = name.len < PROCESS_NAME_MAX ? name.len : PROCESS_NAME_MAX - 1;
    if (len) memcpy(out, name.data, len);
    out[len] = 0;
}

/* The name may hold blanks and brackets: it ends at the last bracket of all. */
static bool take_name(struct slice *rest, struct slice *name)
{
    const char *open = memchr(rest->data, '(', rest->len);
    const char *close = memrchr(rest->data, ')', rest->len);
    if (!open || !close || close < open) return false;
    *name = (struct slice){ open + 1, (size_t)(close - open - 1) };
    size_t taken = (size_t)(close + 1 - rest->data);
    rest->data += taken;
    rest->len -= taken;
    return true;
}

bool process_stat_parse(struct slice text, struct process_stat *out)
{
    struct slice rest = text, name, state;
    uint64_t f[FIELD_LAST + 1];
    memset(out, 0, sizeof(*out));
    if (!rest.len || !take_name(&rest, &name)) return false;
    if (!proc_take_word(&rest, &state) || state.len != 1) return false;
    if (!read_fields(rest, f)) return false;
    copy_name(out->name, name);
    out->state = state.data[0];
    out->parent = (int32_t)f[4];
    out->minor_faults = f[10];
    out->major_faults = f[12];
    out->user_ticks = f[14];
    out->system_ticks = f[15];
    out->thread_count = f[20];
    out->start_ticks = f[22];
    out->virtual_bytes = f[23];
    out->cpu = (int32_t)f[39];
    out->io_wait_ticks = f[42];
    return true;
}

bool process_schedule_parse(struct slice text, struct process_schedule *out)
{
    struct slice rest = text;
    memset(out, 0, sizeof(*out));
    return proc_take_u64(&rest, &out->run_ns) && proc_take_u64(&rest, &out->wait_ns) &&
           proc_take_u64(&rest, &out->turns);
}
