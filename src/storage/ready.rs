//! Refusing to start on a database that is not as it should be.

use sqlx::PgConnection;

use super::{
    Error, Storage,
    error::Doing as _,
    migrate::{MIGRATIONS, applied},
};

const DOING: &str = "checking the database";

impl Storage {
    /// Refuses pending migrations, for whoever works with the owner's role.
    pub async fn check_schema(&self) -> Result<(), Error> {
        let mut connection = self.pool().acquire().await.doing(DOING)?;
        let wrong = schema(&mut connection).await?;
        if wrong.is_empty() { Ok(()) } else { Err(Error::NotReady(wrong)) }
    }

    /// Refuses pending migrations, and a role that could change what was recorded: with
    /// [`Error::NotReady`], which says how to mend each.
    pub async fn check_ready(&self) -> Result<(), Error> {
        let mut connection = self.pool().acquire().await.doing(DOING)?;
        let mut wrong = match schema(&mut connection).await {
            Ok(wrong) => wrong,
            Err(error) => return Err(error),
        };
        // Without the tables there are no rights to look at.
        if wrong.is_empty() {
            wrong.extend(rights(&mut connection).await?);
        }
        if wrong.is_empty() { Ok(()) } else { Err(Error::NotReady(wrong)) }
    }
}

/// What is wrong with the schema.
async fn schema(connection: &mut PgConnection) -> Result<Vec<String>, Error> {
    let applied = match applied(connection).await {
        Ok(applied) => applied,
        Err(Error::Refused { source, .. }) if is_forbidden(&source) => {
            return Ok(vec![
                "this role may not read the schema's version. Run `quarterdeck migrate --runtime-role ROLE` with the owner's URL and this role's name".to_owned(),
            ]);
        }
        Err(error) => return Err(error),
    };
    if applied.is_empty() {
        return Ok(vec![
            "there is no schema of Quarterdeck. Run `quarterdeck migrate --runtime-role ROLE` with the owner's URL (QUARTERDECK_OWNER_DATABASE_URL)".to_owned(),
        ]);
    }
    let pending: Vec<_> = MIGRATIONS
        .iter()
        .filter(|migration| !applied.contains(&migration.version))
        .map(|migration| format!("{:04} {}", migration.version, migration.description))
        .collect();
    let mut wrong = Vec::new();
    if !pending.is_empty() {
        wrong.push(format!(
            "migrations are pending: {}. Run `quarterdeck migrate --runtime-role ROLE` with the owner's URL, then start again",
            pending.join(", ")
        ));
    }
    if let Some(newer) = applied.iter().find(|version| !MIGRATIONS.version_exists(**version)) {
        wrong.push(format!(
            "the schema has migration {newer}, which this version of Quarterdeck does not know. Start the version that migrated it"
        ));
    }
    Ok(wrong)
}

/// What this role may do and must not, or must do and may not.
async fn rights(connection: &mut PgConnection) -> Result<Vec<String>, Error> {
    const SPLIT: &str = "Give `serve` a role of its own, not the owner's: CREATE ROLE ... LOGIN, then `quarterdeck migrate --runtime-role ROLE`";
    let mut wrong = Vec::new();
    let role = sqlx::query!(
        r#"
        SELECT current_user::text AS "name!", r.rolsuper AS "super_!", r.rolcreaterole AS "creates_roles!",
               r.rolreplication AS "replicates!",
               -- Either runs programs or writes files as the server's user, which is all rights at once.
               pg_has_role('pg_execute_server_program', 'MEMBER') OR pg_has_role('pg_write_server_files', 'MEMBER')
                   AS "commands_the_server!"
        FROM pg_roles r WHERE r.rolname = current_user
        "#
    )
    .fetch_one(&mut *connection)
    .await
    .doing(DOING)?;
    let name = &role.name;
    for (has, what) in [
        (role.super_, "is a superuser"),
        (role.creates_roles, "has CREATEROLE and could give itself the owner's role"),
        (role.replicates, "has REPLICATION"),
        (role.commands_the_server, "may run programs or write files as the database server"),
    ] {
        if has {
            wrong.push(format!("the role `{name}` {what}, so it could change what was recorded. {SPLIT}"));
        }
    }
    let tables = sqlx::query!(
        r#"
        SELECT c.relname::text AS "table!",
               pg_has_role(c.relowner, 'MEMBER') AS "owns!",
               pg_has_role(n.nspowner, 'MEMBER') AS "owns_schema!",
               has_any_column_privilege(c.oid, 'UPDATE') AS "update!",
               has_table_privilege(c.oid, 'DELETE') AS "delete!",
               has_table_privilege(c.oid, 'TRUNCATE') AS "truncate!",
               has_table_privilege(c.oid, 'TRIGGER') AS "trigger!",
               has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'SELECT') AS "works!"
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.oid IN ('entries'::regclass, 'contents'::regclass, 'leaves'::regclass, 'tiles'::regclass,
                        'checkpoints'::regclass)
        ORDER BY c.relname DESC
        "#
    )
    .fetch_all(&mut *connection)
    .await
    .doing(DOING)?;
    for row in tables {
        let table = &row.table;
        let too_much: Vec<_> = [
            (row.owns, "owns it"),
            (row.owns_schema, "owns its schema"),
            (row.update, "may UPDATE it"),
            (row.delete, "may DELETE from it"),
            (row.truncate, "may TRUNCATE it"),
            (row.trigger, "may put triggers on it"),
        ]
        .into_iter()
        .filter_map(|(has, what)| has.then_some(what))
        .collect();
        if !too_much.is_empty() {
            wrong.push(format!(
                "the role `{name}` could change what is recorded in `{table}`: it {}. {SPLIT}",
                too_much.join(", ")
            ));
        } else if !row.works {
            wrong.push(format!(
                "the role `{name}` may not write and read `{table}`. Run `quarterdeck migrate --runtime-role {name}` with the owner's URL"
            ));
        }
    }
    Ok(wrong)
}

/// Whether an error says that the role lacks a right.
fn is_forbidden(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.code().as_deref() == Some("42501"))
}
