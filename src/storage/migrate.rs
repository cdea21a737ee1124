//! The schema: brought forward by the owner, with narrow rights for the runtime role.

use sqlx::{
    Connection as _, PgConnection,
    migrate::{MigrateError, Migrator},
};

use super::{Error, connect::options, error::Doing as _};
use crate::model::Secret;

/// The migrations of this version.
pub(super) static MIGRATIONS: Migrator = sqlx::migrate!();

const DOING: &str = "migrating the schema";

/// What `migrate` did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Migrated {
    /// The migrations that were applied now, in order.
    pub applied: Vec<String>,
    /// How many there are in all.
    pub total: usize,
    /// The rights that the runtime role has now, a line each.
    pub rights: Vec<String>,
}

/// Brings the schema to this version, with the owner's URL, and gives `runtime_role` what `serve` needs
/// and nothing else. Doing it again changes nothing.
pub async fn migrate(owner: &Secret, runtime_role: Option<&str>) -> Result<Migrated, Error> {
    let mut connection = PgConnection::connect_with(&options(owner)?).await.doing(DOING)?;
    let before = applied(&mut connection).await?;
    MIGRATIONS.run(&mut connection).await.map_err(sort)?;
    let applied = MIGRATIONS
        .iter()
        .filter(|migration| !before.contains(&migration.version))
        .map(|migration| format!("{:04} {}", migration.version, migration.description))
        .collect();
    let rights = match runtime_role {
        Some(role) => give_rights(&mut connection, role).await?,
        None => Vec::new(),
    };
    connection.close().await.doing(DOING)?;
    Ok(Migrated { applied, total: MIGRATIONS.iter().count(), rights })
}

/// The versions that were applied; none where there is no schema yet.
pub(super) async fn applied(connection: &mut PgConnection) -> Result<Vec<i64>, Error> {
    let exists = sqlx::query_scalar!(r#"SELECT to_regclass('_sqlx_migrations') IS NOT NULL AS "exists!""#)
        .fetch_one(&mut *connection)
        .await
        .doing(DOING)?;
    if !exists {
        return Ok(Vec::new());
    }
    sqlx::query_scalar!("SELECT version FROM _sqlx_migrations WHERE success ORDER BY version")
        .fetch_all(connection)
        .await
        .doing(DOING)
}

/// In one transaction, so that a running server never finds itself without rights.
async fn give_rights(connection: &mut PgConnection, role: &str) -> Result<Vec<String>, Error> {
    let exists =
        sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1) AS "exists!""#, role)
            .fetch_one(&mut *connection)
            .await
            .doing(DOING)?;
    if !exists {
        return Err(Error::NotReady(vec![format!(
            "there is no role `{role}` to give rights to. Create it first, as a superuser: CREATE ROLE \"{role}\" LOGIN PASSWORD '...'"
        )]));
    }
    let mut tx = connection.begin().await.doing(DOING)?;
    let rights = sqlx::query_scalar!(r#"SELECT give_runtime_rights($1) AS "right!""#, role)
        .fetch_all(&mut *tx)
        .await
        .doing("giving the runtime role its rights")?;
    tx.commit().await.doing(DOING)?;
    Ok(rights)
}

fn sort(error: MigrateError) -> Error {
    match error {
        MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => {
            Error::sort(DOING, source)
        }
        MigrateError::VersionMissing(version) => Error::NotReady(vec![format!(
            "the database has migration {version}, which this version of Quarterdeck does not know: it was migrated by a newer one. Run that one, or restore the backup from before"
        )]),
        MigrateError::VersionMismatch(version) => Error::NotReady(vec![format!(
            "migration {version} was applied from another text than this version's: this is another build's database"
        )]),
        other => Error::NotReady(vec![other.to_string()]),
    }
}
