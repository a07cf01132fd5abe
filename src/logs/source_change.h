/* logs/source_change.h: another configuration for a source that is being read. All that can fail is made beforehand, beside the
 * one in force, so that what has a mistake changes nothing; then the source goes on with it: with its statistics and windows,
 * and where it is in its files as long as its files are the same. */
#pragma once

#include "logs/source.h"

struct source_change;

/* Makes what `conf` of `logs` needs where `was` of `were` is in force. Blocks: on the jobs' thread. -1: the format cannot be had,
 * there is no such folder. All are borrowed for the change's life, and the new ones for the
 * source's from source_change_end() on. */
MUST_CHECK int source_change_new(struct source_change **out, const struct source_conf *was,
                                 const struct logs_conf *were, const struct source_conf *conf,
                                 const struct logs_conf *logs, struct err *err);
/* NULL is fine. After source_change_end() it holds what the source had. */
void source_change_free(struct source_change *c);
/* Takes the address of syslog that it is to have, at most once. Control thread, just before it comes into force. -1: somebody has it. */
MUST_CHECK int source_change_reserve(struct source_change *c, struct err *err);
/* Whether there is where its files can be. -1 with the sentence. */
MUST_CHECK int source_check_folder(const struct source_conf *conf, struct err *err);

/* Both on the observer's thread, one after the other: between them other sources may take what this one lets go of, as an
 * address of syslog. */
void source_change_begin(struct source *s, struct source_change *c);
/* -1: it has changed, but cannot be read as it is to be. */
MUST_CHECK int source_change_end(struct source *s, struct source_change *c, struct err *err);
