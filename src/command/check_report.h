/* command/check_report.h: what `weir check --json` says: every mistake and warning with its place, for programs. */
#pragma once

#include "base/err.h"
#include "base/json.h"
#include "control/config.h"

struct check_report {
    const char *path;     /* of the configuration */
    struct json lists[2]; /* mistakes, warnings: open arrays */
    uint32_t counts[2], dropped[2];
};

enum check_kind { CHECK_MISTAKE, CHECK_WARNING };

void check_report_init(struct check_report *r, const char *path);
/* Of one who has no place in the file but perhaps a key of it (RFC 6901; NULL: none). */
void check_report_add(struct check_report *r, enum check_kind kind, const char *key, const char *detail);
/* For config_listener; the context is the report. */
void check_report_faults(void *report, const struct conf_faults *faults, const struct conf_tree *tree);
void check_report_notes(void *report, const struct conf_faults *notes, const struct conf_tree *tree);
/* Prints it; `config`: NULL where it could not be read. EX_OK, EX_CONFIG if there is a mistake, or EX_OSERR, EX_IOERR. Ends the report. */
MUST_CHECK int check_report_end(struct check_report *r, const struct config *config);
