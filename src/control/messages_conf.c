#include "control/messages_conf.h"

#include <assert.h>
#include <stddef.h>

#include "base/log.h"
#include "conf/decode.h"

static const char *const form_names[] = { "text", "json", "journald", NULL };
static_assert(LOG_TEXT == 0 && LOG_JSON == 1 && LOG_JOURNAL == 2, "names by number");
static const struct conf_type form_type = { .name = "form", .names = form_names };

static const struct conf_field messages_fields[] = {
    { "form", CONF_ENUM(struct messages_conf, form, &form_type), .preset = "text",
      .help = "`text`: key=value lines to standard error; `json`: one object a line there; `journald`: to "
              "systemd's "
              "journal, with a field WEIR_KEY for each key." },
    { "journal", CONF_STRING(struct messages_conf, journal), .min = 2, .max = 107,
      .preset = "/run/systemd/journal/socket",
      .help = "The socket of journald, for `form: journald`; of a namespace it is "
              "/run/systemd/journal.NAME/socket." },
    { 0 },
};

static void check_messages(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct messages_conf *m = object;
    if (m->journal[0] != '/')
        conf_decode_fault(d, node, "journal", "begin it with /",
                          "the socket \"%.64s\" is not an absolute path", m->journal);
}

const struct conf_type messages_conf_type = { .name = "messages",
                                              .size = sizeof(struct messages_conf),
                                              .fields = messages_fields,
                                              .short_form = "form",
                                              .check = check_messages };
