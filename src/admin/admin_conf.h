/* admin/admin_conf.h: `admin:` as decoded; immutable, part of the configuration's snapshot. */
#pragma once

#include "admin/role.h"
#include "base/address.h"
#include "conf/field.h"

#define ADMIN_TOKENS_MAX 64u
/* What `token` is called in messages and in the audit trail. */
#define ADMIN_TOKEN_NAME "token"

struct admin_token_conf {
    const char *name, *token;
    uint32_t role; /* enum admin_role less ROLE_VIEW, as its row has it */
};

struct admin_conf {
    struct address bind;
    const char *token;        /* NULL: none; has ROLE_ADMIN */
    struct conf_items tokens; /* of admin_token_conf */
    uint32_t anonymous;       /* as its row has it: ask admin_conf_anonymous() */
    uint64_t history_bytes;   /* of traffic; 0: none is kept */
};

extern const struct conf_type admin_conf_type;

bool admin_conf_has_token(const struct admin_conf *c);
/* What somebody may do who shows no token. */
enum admin_role admin_conf_anonymous(const struct admin_conf *c);

/* One of the tokens, the single one first; false: there are no more. */
struct admin_token {
    const char *name, *text; /* borrowed */
    enum admin_role role;
};
bool admin_conf_token(const struct admin_conf *c, uint32_t number, struct admin_token *out);
/* The one of that name; false: there is none. */
bool admin_conf_find_token(const struct admin_conf *c, const char *name, struct admin_token *out);
