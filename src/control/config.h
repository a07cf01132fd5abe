/* control/config.h: the whole configuration: one immutable snapshot, from a file or from the command line. */
#pragma once

#include "acme/acme_conf.h"
#include "admin/admin_conf.h"
#include "conf/node.h"
#include "control/config_files.h"
#include "control/core_conf.h"
#include "control/hardening_conf.h"
#include "control/messages_conf.h"
#include "logs/source_conf.h"
#include "proxy/proxy_conf.h"
#include "self/profiler_conf.h"

struct config {
    struct proxy_conf proxy;
    struct admin_conf *admin; /* NULL: none */
    struct logs_conf *logs;   /* NULL: none are watched */
    struct acme_conf *acme;   /* NULL: no CA is asked for anything */
    struct core_conf *core;   /* NULL: what a crash leaves is the host's business */
    struct profiler_conf profile;
    struct hardening_conf hardening;
    struct messages_conf messages;
    const char *state; /* a folder; NULL: nothing is kept */
    const char *user;  /* self/privileges.h; NULL: as which it was started */
    struct conf_items
        include; /* of the row; always empty: what they name is part of this (control/config_files.h) */
    struct slice shown; /* as JSON with presets filled in, secrets as "***"; empty: it would be over 16 MiB */
    struct conf_arena *arena; /* owns everything, this struct included */
};

extern const struct conf_type config_type;

/* What is said where *faults and err have nothing better. */
#define CONFIG_NO_MEMORY "there is no memory to read the configuration; try again"

/* Reads a file of YAML, or of JSON if its name ends in .json, and what it includes. -1: *faults has every mistake as text for people
 * (allocated, the caller's), or the file could not be read (err). */
MUST_CHECK int config_load(struct config **out, const char *path, char **faults, struct err *err);
/* The same from text; `name` is what it is called in messages. -1 with *faults NULL: there is no memory. */
MUST_CHECK int config_parse(struct config **out, const char *name, struct slice text, char **faults);
/* What tells of every mistake, with the tree that it is in. */
struct config_listener {
    void (*on_faults)(void *context, const struct conf_faults *faults, const struct conf_tree *tree);
    /* Likewise what is correct and yet hardly meant; NULL: not asked for. */
    void (*on_notes)(void *context, const struct conf_faults *notes, const struct conf_tree *tree);
    void *context;
};
/* Likewise for who wants mistakes in another form: *faults is not set, `to` is called instead. */
MUST_CHECK int config_parse_told(struct config **out, const char *name, struct slice text,
                                 const struct config_listener *to);
/* The same of a file. -1 without a call of `to`: *faults is text about its `include:` (allocated, the caller's), or err says why it
 * could not be read. */
MUST_CHECK int config_load_told(struct config **out, const char *path, const struct config_listener *to,
                                char **faults, struct err *err);
struct config_notes;
/* config_parse() with notes, as config_load_noted(); NULL: not asked for. */
MUST_CHECK int config_parse_noted(struct config **out, const char *name, struct slice text,
                                  struct config_notes *notes, char **faults);
/* Of the file nothing but its `admin`, for who asks a running weir: the rest is not looked at, so that the environment which
 * it is written for is not needed. */
MUST_CHECK int config_load_admin(struct config **out, const char *path, char **faults, struct err *err);
/* A tree that was read without faults; `faults` gets what is wrong with it. */
MUST_CHECK int config_decode(struct config **out, const struct conf_tree *tree, struct conf_faults *faults);
/* For a command: config_load(), with what is wrong on stderr. EX_OK or EX_CONFIG. */
MUST_CHECK int config_load_or_say(struct config **out, const char *path, const char *command);
/* The file with changes (conf/tree_change.h), one after another. */
MUST_CHECK int config_load_changed(struct config **out, const char *path, const char *const *changes,
                                   uint32_t count, char **faults, struct err *err);

/* What is correct and yet hardly meant; both NULL if there is nothing. */
struct config_notes {
    char *text;  /* as faults are shown: with the line and a caret */
    char *lines; /* the sentences alone, one a line */
};

/* config_load() and config_load_or_say(), with notes: the caller's to free, empty where it fails. */
MUST_CHECK int config_load_noted(struct config **out, const char *path, struct config_notes *notes,
                                 char **faults, struct err *err);
MUST_CHECK int config_load_noted_or_say(struct config **out, const char *path, const char *command,
                                        struct config_notes *notes);
void config_notes_free(struct config_notes *notes);
void config_free(struct config *c);
