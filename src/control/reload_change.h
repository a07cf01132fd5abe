/* control/reload_change.h: a change of a few values of the configuration in force, which is a configuration like any other once it is
 * made. Of what it is made: of the text that is kept of the one in force; without `state:`, of the file with the changes
 * that came before, which then must say what is in force. */
#pragma once

#include "admin/reloader.h"
#include "conf/node.h"
#include "conf/tree_edit.h"
#include "control/config.h"
#include "control/generations.h"

struct reload_change {
    char *texts[CONF_CHANGES_MAX];
    uint32_t count, before; /* the first ones are in force already */
    int folder;             /* of generations; -1: none are kept */
    struct generation source;
    const char *path; /* of the file; NULL: there is none. Borrowed. */
    bool is_full;     /* one more is asked for than may be */
    bool is_edit;     /* of an object: the rest is of that, once it has been read */
    struct conf_edit_result result;
    char *errors; /* what the new configuration is refused for, as JSON; NULL: nothing, or no memory */
};

/* Where the text of the one in force is. */
struct reload_source {
    const struct generations *generations; /* NULL: none are kept */
    uint32_t in_force;
    const char *path;
};

/* `before`: what has changed of the file so far; NULL: nothing, or it is kept. -1: no memory, or no text. */
MUST_CHECK int reload_change_new(struct reload_change **out, const struct reload_ask *asked,
                                 const struct reload_change *before, const struct reload_source *source,
                                 struct err *err);
void reload_change_free(struct reload_change *c); /* NULL is fine */
/* Of the answer to one that is refused. */
uint16_t reload_change_status(const struct reload_change *c);
/* Another configuration is in force, by *change (NULL: by another way): what has changed of the file by now is *made, where no text is
 * kept. Of several changes that say the same, the last alone stays. Takes both. */
void reload_change_applied(struct reload_change **made, struct reload_change **change, bool is_kept);
/* The configuration that it makes of `base`, and its text (for config_text_free()), which is JSON. On the jobs' thread. -1: *faults or
 * err. */
MUST_CHECK int reload_change_read(struct reload_change *c, const struct config *base, struct config **out,
                                  char **text, size_t *len, char **faults, struct err *err);
