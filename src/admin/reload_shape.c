#include "admin/reloader.h"

static const struct shape_field item_fields[] = {
    SHAPE_ROW(reload_item, name, STRING, "Its name."),
    SHAPE_ROW(reload_item, in, STRING, "The listener of a route, the pool of a server.", .may_be_null = true),
    SHAPE_ROW(reload_item, keys, LIST, "Which of its keys changed; empty for what came or went."),
    { 0 },
};
static const struct shape item_shape = { "ReloadItem", sizeof(struct reload_item), item_fields };

static const struct shape_field section_fields[] = {
    SHAPE_ROW(reload_section, added, LIST, "New by name.", .of = &item_shape),
    SHAPE_ROW(reload_section, removed, LIST, "No longer there by name.", .of = &item_shape),
    SHAPE_ROW(reload_section, changed, LIST, "Kept by name, and changed.", .of = &item_shape),
    SHAPE_ROW(reload_section, left_off, COUNT, "How many more than are listed."),
    { 0 },
};
static const struct shape section_shape = { "ReloadSection", sizeof(struct reload_section), section_fields };

static const struct shape_field moved_fields[] = {
    SHAPE_ROW(reload_moved, pool, STRING, "The pool, whose method hashes."),
    SHAPE_ROW(reload_moved, share, NUMBER,
              "Which part of all keys changes its server, from 0 to 1; null where what is hashed is another.",
              .may_be_null = true),
    { 0 },
};
static const struct shape moved_shape = { "ReloadMoved", sizeof(struct reload_moved), moved_fields };

#define SECTION(member, text) SHAPE_ROW(reload_outcome, member, OBJECT, text, .of = &section_shape)

static const struct shape_field outcome_fields[] = {
    SHAPE_ROW(reload_outcome, generation, COUNT, "The configuration in force."),
    { "dry_run", SHAPE_BOOL, offsetof(struct reload_outcome, is_dry),
      .help = "Nothing has changed: this is what would." },
    { "is_same", SHAPE_BOOL, offsetof(struct reload_outcome, is_same),
      .help = "The two configurations say the same." },
    SECTION(listeners, "Listeners."),
    SECTION(routes, "Routes."),
    SECTION(pools, "Pools, but for their servers."),
    SECTION(servers, "Servers."),
    SECTION(splits, "Splits."),
    SECTION(sources, "Logs that are watched; rules and the rest of `logs` are among the settings."),
    SHAPE_ROW(reload_outcome, settings, LIST, "Other keys of the top level that changed."),
    SHAPE_ROW(
        reload_outcome, needs_restart, LIST,
        "Keys of the top level that differ from what weir was started with and hold from its next start."),
    { "moved_keys", SHAPE_LIST, offsetof(struct reload_outcome, moved), .of = &moved_shape,
      .help = "Pools whose method hashes, and that have other servers or another table." },
    { "idle_connections_closed", SHAPE_COUNT, offsetof(struct reload_outcome, idle_closed),
      .help = "Idle connections to servers that are no longer there, about." },
    { "connections_of_removed_listeners", SHAPE_COUNT, offsetof(struct reload_outcome, of_removed_listeners),
      .help = "Client connections, which end after the response that they wait for; tunnels go on." },
    { 0 },
};
const struct shape reload_outcome_shape = { "ReloadOutcome", sizeof(struct reload_outcome), outcome_fields };

static const struct shape_field generation_fields[] = {
    SHAPE_ROW(reload_generation, generation, COUNT, "Its number, counted over restarts."),
    SHAPE_ROW(reload_generation, at, STRING, "Since when it was in force (RFC 3339)."),
    SHAPE_ROW(reload_generation, by, STRING, "start, reload, api or rollback."),
    SHAPE_ROW(reload_generation, format, STRING, "yaml or json: what its text is."),
    { "in_force", SHAPE_BOOL, offsetof(struct reload_generation, is_in_force),
      .help = "It is in force now." },
    { 0 },
};
const struct shape reload_generation_shape = { "Generation", sizeof(struct reload_generation),
                                               generation_fields };
