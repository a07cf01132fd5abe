#include "observe/unit_state.h"

#include <string.h>

#include "observe/command_output.h"
#include "observe/proc_text.h"

#define ANSWER_MAX 16384u
#define TEXT(name, member)                                                                  \
    {                                                                                       \
        name, offsetof(struct unit_state, member), sizeof(((struct unit_state *)0)->member) \
    }
#define NUMBER(name, member)                         \
    {                                                \
        name, offsetof(struct unit_state, member), 0 \
    }

static const struct {
    const char *name;
    size_t offset;
    size_t cap; /* 0: a number */
} properties[] = {
    TEXT("LoadState", load),
    TEXT("ActiveState", active),
    TEXT("SubState", sub),
    TEXT("Result", result),
    TEXT("StatusText", status),
    TEXT("ControlGroup", group),
    NUMBER("MainPID", main_pid),
    NUMBER("NRestarts", restarts),
    NUMBER("ActiveEnterTimestampMonotonic", active_since_us),
    NUMBER("ExecMainStatus", exit_status),
};

#define PROPERTY_COUNT (sizeof(properties) / sizeof(*properties))

/* Cut where it has no room, without control bytes. */
static void set_text(char *to, size_t cap, struct slice value)
{
    size_t len = value.len < cap ? value.len : cap - 1;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)value.data[i];
        to[i] = c < ' ' || c == 127 ? '?' : (char)c;
    }
    to[len] = 0;
}

static void set_property(struct unit_state *s, struct slice key, struct slice value)
{
    for (size_t i = 0; i < PROPERTY_COUNT; i++) {
        char *to = (char *)s + properties[i].offset;
        uint64_t number;
        if (!slice_equal(key, slice_of(properties[i].name))) continue;
        if (properties[i].cap)
            set_text(to, properties[i].cap, value);
        else if (proc_u64(value, &number))
            memcpy(to, &number, sizeof(number));
    }
}

bool unit_state_parse(struct slice text, struct unit_state *out)
{
    struct slice rest = text, line;
    memset(out, 0, sizeof(*out));
    while (proc_take_line(&rest, &line)) {
        const char *equals = line.len ? memchr(line.data, '=', line.len) : NULL;
        if (!equals) continue;
        struct slice key = { line.data, (size_t)(equals - line.data) };
        set_property(out, key, (struct slice){ equals + 1, line.len - key.len - 1 });
    }
    out->is_known = out->load[0] && out->active[0];
    return out->is_known;
}

int unit_state_ask(const char *systemctl, const char *unit, uint32_t limit_ms, struct unit_state *out,
                   struct err *err)
{
    char memory[ANSWER_MAX];
    struct slice answer;
    char *const argv[] = {
        (char *)systemctl,
        (char *)"show",
        (char *)"--no-pager",
        (char *)"--property=LoadState,ActiveState,SubState,Result,StatusText,ControlGroup,MainPID,NRestarts,"
                "ActiveEnterTimestampMonotonic,ExecMainStatus",
        (char *)"--",
        (char *)unit,
        NULL,
    };
    memset(out, 0, sizeof(*out));
    if (command_output(argv, limit_ms, memory, sizeof(memory), &answer, err) < 0) return -1;
    if (unit_state_parse(answer, out)) return 0;
    return err_set(err, "%s said nothing about the state of %s", systemctl, unit);
}
