#include "logs/source_conf.h"

#include <string.h>

#include "conf/decoding.h"
#include "conf/tree.h"
#include "logs/log_format.h"
#include "logs/rule.h"

static const struct conf_type pools_type = { .name = "pools" };

/* format */

static void check_format(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct source_format_conf *c = object;
    struct log_format format;
    struct err err;
    if ((c->text != NULL) == (c->nginx_conf != NULL)) {
        conf_decode_fault(d, node, NULL, "write combined, json, a log_format's text, or {nginx_conf: FILE}",
                          "a format has either a text or an nginx_conf to take it from");
        return;
    }
    if (!c->text) return;
    if (log_format_parse(&format, c->text, &err) < 0)
        conf_decode_fault(d, node, "text", "", "%s", err.text);
    else if (format.is_auto)
        conf_decode_fault(d, node, "text", "write combined, json, a log_format's text, or {nginx_conf: FILE}",
                          "a log that is watched needs to have its format told");
}

static const struct conf_field format_fields[] = {
    { "text", CONF_STRING(struct source_format_conf, text), .min = 1, .max = LINE_FORMAT_TEXT_MAX,
      .help = "`combined`, `json` (NDJSON, or one array), or the text of a log_format with its $variables." },
    { "nginx_conf", CONF_STRING(struct source_format_conf, nginx_conf), .min = 1, .max = 4096,
      .help = "nginx's configuration, of which the access_log with the source's path says the format; "
              "include files "
              "are read too." },
    { 0 },
};
static const struct conf_type format_type = { .name = "log format",
                                              .size = sizeof(struct source_format_conf),
                                              .fields = format_fields,
                                              .short_form = "text",
                                              .check = check_format };

/* health */

static const struct conf_field health_fields[] = {
    { "pool", CONF_REF(struct source_health_conf, pool, &pools_type), .flags = CONF_REQUIRED,
      .help = "The pool whose servers have the addresses that nginx logs as $upstream_addr." },
    { "errors", CONF_U32(struct source_health_conf, errors_percent), .max = 100, .preset = "50",
      .help = "A server is ejected when so many of a hundred attempts ended in a 5xx or in nothing; 0 does "
              "not look." },
    { "latency", CONF_MSEC(struct source_health_conf, latency_ms), .min = 1, .max = 3600000, .preset = "off",
      .flags = CONF_MAY_BE_OFF, .help = "Likewise when its mean $upstream_response_time is so long." },
    { "attempts", CONF_U32(struct source_health_conf, attempts), .min = 1, .max = 1000000, .preset = "20",
      .help = "Fewer attempts say nothing." },
    { "over", CONF_MSEC(struct source_health_conf, over_ms), .min = 1000, .max = 3600000, .preset = "10s",
      .help = "Over how long a time they are counted." },
    { 0 },
};
static const struct conf_type health_type = { .name = "log health",
                                              .size = sizeof(struct source_health_conf),
                                              .fields = health_fields,
                                              .short_form = "pool" };

/* sources */

static const char *const from_names[] = { "start", "end", NULL };
static const struct conf_type from_type = { .name = "from", .names = from_names };

static void check_source(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct source_conf *c = object;
    if ((c->path != NULL) == (c->syslog.len != 0))
        conf_decode_fault(d, node, NULL, "write path: /var/log/nginx/access.log, or syslog: 127.0.0.1:5514",
                          "a source has either a path or a syslog address");
    const char *slash = c->path ? strrchr(c->path, '/') : NULL;
    const char *wildcard = c->path ? strpbrk(c->path, "*?[") : NULL;
    if (wildcard && slash && wildcard < slash)
        conf_decode_fault(d, node, "path", "give each directory a source of its own",
                          "only the last part of a path may have *, ? or [");
    if (c->path && strcmp(c->path, "-") != 0 && *c->path != '/')
        conf_decode_fault(d, node, "path", "write it from / on, or - for standard input",
                          "\"%.100s\" depends on where weir is started", c->path);
    if (c->format.nginx_conf && !c->path)
        conf_decode_fault(d, node, "format", "write the format's text",
                          "what comes by syslog has no path that an access_log could have");
}

static const struct conf_field source_fields[] = {
    { "name", CONF_STRING(struct source_conf, name), .max = 64, .help = "What it is called." },
    { "path", CONF_STRING(struct source_conf, path), .min = 1, .max = 4000,
      .help =
          "The log, followed through rotation; the last part may have *, ? and []. `-` is standard input." },
    { "syslog", CONF_CUSTOM(struct source_conf, syslog, &conf_bind_address_type),
      .help = "Or where nginx sends it (`access_log syslog:server=…`): a UDP address, or unix:/path." },
    { "format", CONF_OBJECT(struct source_conf, format, &format_type), .preset = "combined",
      .help = "What its records look like." },
    { "from", CONF_ENUM(struct source_conf, from, &from_type), .preset = "start",
      .help = "Where reading begins in files that have no checkpoint: at their start, or at the end: only "
              "what comes." },
    { "health", CONF_OPTIONAL(struct source_conf, health, &health_type),
      .help = "What its upstreams' errors and times say to a pool's health." },
    { 0 },
};
const struct conf_type source_conf_type = { .name = "source",
                                            .size = sizeof(struct source_conf),
                                            .fields = source_fields,
                                            .short_form = "path",
                                            .check = check_source };

const struct source_conf *source_conf_find(const struct logs_conf *c, const char *name)
{
    const struct source_conf *sources = c->sources.data;
    for (uint32_t i = 0; i < c->sources.count; i++)
        if (sources[i].name && strcmp(sources[i].name, name) == 0) return &sources[i];
    return NULL;
}

/* rules */

const char *rule_conf_name(const struct rule_conf *r)
{
    return r->name ? r->name : r->when;
}

bool rule_conf_looks_at(const struct rule_conf *r, const struct source_conf *s)
{
    return !r->source || strcmp(r->source, s->name) == 0;
}

void rules_pair(const struct logs_conf *was, const struct logs_conf *now, uint32_t from[LOG_RULES_MAX])
{
    const struct rule_conf *olds = was->rules.data, *rules = now->rules.data;
    bool is_taken[LOG_RULES_MAX] = { false };
    for (uint32_t i = 0; i < now->rules.count; i++) {
        uint32_t at = 0;
        while (at < was->rules.count &&
               (is_taken[at] || strcmp(rule_conf_name(&olds[at]), rule_conf_name(&rules[i])) != 0))
            at++;
        from[i] = at < was->rules.count ? at : LOG_RULES_MAX;
        if (at < was->rules.count) is_taken[at] = true;
    }
}

static const char *const gate_names[] = { "deny", NULL };
static const struct conf_type gate_type = { .name = "gate action", .names = gate_names };

static const struct conf_field action_fields[] = {
    { "gate", CONF_ENUM(struct rule_action_conf, gate, &gate_type), .preset = "deny",
      .help = "`deny`: it may not pass the gate of any listener." },
    { "for", CONF_MSEC(struct rule_action_conf, for_ms), .min = 1000, .max = 7ll * 86400000, .preset = "10m",
      .help = "For how long; then it is forgotten." },
    { 0 },
};
static const struct conf_type action_type = { .name = "rule action",
                                              .size = sizeof(struct rule_action_conf),
                                              .fields = action_fields };

static void check_rule(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct rule_conf *c = object;
    struct err err;
    if (c->when && rule_check(slice_of(c->when), &err) < 0)
        conf_decode_fault(d, node, "when", "", "%s", err.text);
}

static const struct conf_field rule_fields[] = {
    { "name", CONF_STRING(struct rule_conf, name), .max = 64,
      .help = "What it is called in logs and in the API; its condition if it has no name." },
    { "when", CONF_STRING(struct rule_conf, when), .min = 1, .max = RULE_TEXT_MAX, .flags = CONF_REQUIRED,
      .help = "The condition: `rate(status==401) by client > 30/m`; what stands in the brackets is the "
              "filter language "
              "of docs/logs.md." },
    { "do", CONF_OBJECT(struct rule_conf, act, &action_type),
      .help = "What becomes of that client or network." },
    { "source", CONF_STRING(struct rule_conf, source), .min = 1, .max = 64,
      .help = "Which source it looks at; each for itself without it." },
    { "allow", CONF_LIST(struct rule_conf, allow, &conf_cidr_type), .max = 10000,
      .help = "Who is never touched. Proxies that a listener trusts never are." },
    { "dry", CONF_BOOL(struct rule_conf, is_dry), .preset = "true",
      .help = "It only says what it would have done; false to let it act." },
    { 0 },
};
const struct conf_type rule_conf_type = { .name = "log rule",
                                          .size = sizeof(struct rule_conf),
                                          .fields = rule_fields,
                                          .name_from = "when",
                                          .check = check_rule };

/* all */

/* What a rule is called is all that its hits, its denials and its next configuration know it by: of two that are called alike
 * the one would act in the place of the other. */
static void refuse_same_rules(struct conf_decode *d, const struct conf_node *list,
                              const struct conf_items *items)
{
    const struct rule_conf *rules = items->data;
    const struct conf_node *nodes[LOG_RULES_MAX];
    const struct conf_node *at = list ? list->first_child : NULL;
    char place[CONF_PLACE_TEXT_MAX];
    for (uint32_t i = 0; at && i < items->count && i < LOG_RULES_MAX; i++, at = at->next) {
        const char *name = rule_conf_name(&rules[i]);
        struct slice shown = conf_clip(slice_of(name ? name : ""));
        nodes[i] = at;
        for (uint32_t j = 0; name && j < i; j++) {
            const char *other = rule_conf_name(&rules[j]);
            if (!other || strcmp(name, other) != 0) continue;
            conf_decode_fault(d, at, rules[i].name ? "name" : "when",
                              rules[i].name ? "rename one of them" : "give one of them a `name:` of its own",
                              "another log rule is called \"%.*s\" too, at %s", SLICE_ARGS(shown),
                              conf_place_print(d->tree, nodes[j]->place, at->place, place));
            break;
        }
    }
}

static void check_logs(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct logs_conf *c = object;
    const struct rule_conf *rules = c->rules.data;
    const struct conf_node *list = conf_node_get(node, "rules");
    const struct conf_node *rule_node = list ? list->first_child : NULL;
    for (uint32_t i = 0; i < c->rules.count; i++, rule_node = rule_node ? rule_node->next : NULL)
        if (rules[i].source && !source_conf_find(c, rules[i].source))
            conf_decode_fault(d, rule_node, "source", "name one of `sources`", "there is no source \"%s\"",
                              rules[i].source);
    refuse_same_rules(d, list, &c->rules);
}

static const struct conf_field logs_fields[] = {
    { "sources", CONF_MAP(struct logs_conf, sources, &source_conf_type), .min = 1, .max = 64,
      .flags = CONF_REQUIRED, .help = "The logs that are watched." },
    { "rules", CONF_LIST(struct logs_conf, rules, &rule_conf_type), .max = LOG_RULES_MAX,
      .help = "What is done about what they say." },
    { "state", CONF_STRING(struct logs_conf, state), .min = 1, .max = 4000,
      .help = "The directory in which totals and places are kept over restarts; without it a restart begins "
              "anew." },
    { 0 },
};

const struct conf_type logs_conf_type = {
    .name = "logs", .size = sizeof(struct logs_conf), .fields = logs_fields, .check = check_logs
};

const struct logs_conf logs_conf_nothing;
