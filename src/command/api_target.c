#include "command/api_target.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "control/config.h"

#define ADDRESS_PRESET "127.0.0.1:9091" /* as `admin: {bind}` has it */

#define ADDRESS_ROWS                                                                                        \
    { OPTION_TEXT, .name = "admin", .argument = "ADDR", .offset = offsetof(struct api_options, admin),      \
      .help = "the admin address; " ADDRESS_PRESET " if nothing says another" },                            \
        { OPTION_TEXT, .name = "token", .argument = "TOKEN", .offset = offsetof(struct api_options, token), \
          .help = "the admin token; better WEIR_TOKEN, which `ps` does not show" },

const struct option_row api_option_rows[] = {
    { OPTION_TEXT, 'c', .name = "config", .argument = "FILE", .offset = offsetof(struct api_options, config),
      .help = "the configuration, for the admin address and the token" },
    ADDRESS_ROWS{ 0 },
};

const struct option_row api_address_rows[] = { ADDRESS_ROWS{ 0 } };

static int set_token(struct api_target *t, const char *from, const char *token, struct err *err)
{
    size_t len = strlen(token);
    if (!len || len > API_TOKEN_MAX)
        return err_set(err, "the token of %s has %zu bytes; tokens have 1 to %d", from, len, API_TOKEN_MAX);
    for (const char *c = token; *c; c++)
        if (*c <= ' ' || *c >= 127)
            return err_set(err, "the token of %s has bytes that no header field can carry", from);
    memcpy(t->token, token, len + 1);
    return 0;
}

/* An address that somebody binds to is not always one to connect to. */
static void reach_this_machine(struct address *a)
{
    if (a->sa.any.sa_family == AF_INET && a->sa.in4.sin_addr.s_addr == htonl(INADDR_ANY))
        a->sa.in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    /* weir's [::] takes IPv4 as well. */
    if (a->sa.any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a->sa.in6.sin6_addr)) {
        in_port_t port = a->sa.in6.sin6_port;
        *a = (struct address){
            .len = sizeof(a->sa.in4),
            .sa.in4 = { .sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) }
        };
    }
}

static int check_port(const struct address *a, struct err *err)
{
    if (a->sa.any.sa_family == AF_UNIX || address_port(a)) return 0;
    return err_set(err,
                   "port 0 lets the kernel choose: give the one that weir says it listens on with --admin");
}

/* Of the file's tokens the one that may do most: who may read it could use any. */
static const char *best_token(const struct admin_conf *c)
{
    struct admin_token t, best = { .role = ROLE_NONE };
    for (uint32_t i = 0; admin_conf_token(c, i, &t); i++)
        if (t.role > best.role) best = t;
    return best.text;
}

static int take_file(const struct api_options *o, struct api_target *out, struct err *err)
{
    struct config *config = NULL;
    char *faults = NULL;
    if (config_load_admin(&config, o->config, &faults, err) < 0) {
        if (faults) fputs(faults, stderr);
        free(faults);
        return -1;
    }
    int result = 0;
    if (config->admin) {
        if (!o->admin) out->address = config->admin->bind;
        const char *token = best_token(config->admin);
        if (token) result = set_token(out, o->config, token, err);
    } else if (!o->admin) {
        result = err_set(err,
                         "%s has no `admin:`, so that weir has no address to be asked at; add one, as "
                         "`admin: {bind: \"" ADDRESS_PRESET "\"}`",
                         o->config);
    }
    config_free(config);
    return result;
}

int api_target_find(const struct api_options *o, struct api_target *out, struct err *err)
{
    *out = (struct api_target){ 0 };
    const char *address = o->admin ? o->admin : o->config ? NULL : ADDRESS_PRESET;
    if (address && address_parse(slice_of(address), true, &out->address, err) < 0) {
        err_prefix(err, "--admin");
        return EX_USAGE;
    }
    if (o->config && take_file(o, out, err) < 0) return EX_CONFIG;
    if (check_port(&out->address, err) < 0) return EX_USAGE;
    reach_this_machine(&out->address);
    const char *in_environment = getenv("WEIR_TOKEN");
    int result = 0;
    if (o->token)
        result = set_token(out, "--token", o->token, err);
    else if (!*out->token && in_environment && *in_environment)
        result = set_token(out, "WEIR_TOKEN", in_environment, err);
    return result < 0 ? EX_USAGE : EX_OK;
}
