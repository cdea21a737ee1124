//! A database of one test's own, with an owner role and a runtime role of its own.

use std::thread;

use quarterdeck::model::{Random as _, Secret, SystemRandom};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, PgPool, postgres::PgPoolOptions};

use super::state::{Postgres, State};

/// A database; it and its roles are dropped with this value.
pub struct Database {
    cluster: Postgres,
    /// Its name, and what its roles' names begin with: roles belong to the whole cluster.
    name: String,
}

impl Database {
    /// Makes an empty database in the shared cluster. Its schema is the caller's to make.
    pub async fn create() -> Self {
        Self::create_in(State::read().postgres).await
    }

    /// Makes an empty database in this cluster.
    pub async fn create_in(cluster: Postgres) -> Self {
        let name = format!("test_{}", SystemRandom.uuid().simple());
        let database = Self { cluster, name };
        let (name, owner, runtime) = (&database.name, database.owner_role(), database.runtime_role());
        let mut connection = connect(&database.cluster.url(&database.cluster.superuser, "postgres")).await;
        for statement in [
            format!("CREATE ROLE {owner} LOGIN"),
            format!("CREATE ROLE {runtime} LOGIN"),
            format!("CREATE DATABASE {name} OWNER {owner}"),
        ] {
            connection
                .execute(AssertSqlSafe(statement.clone()))
                .await
                .unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        database
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The role that owns it, which `migrate` uses.
    pub fn owner_role(&self) -> String {
        format!("{}_owner", self.name)
    }

    /// The role with narrow rights, which `serve` uses.
    pub fn runtime_role(&self) -> String {
        format!("{}_runtime", self.name)
    }

    /// The owner's URL.
    pub fn owner_url(&self) -> Secret {
        Secret::new(self.cluster.url(&self.owner_role(), &self.name))
    }

    /// The runtime role's URL.
    pub fn runtime_url(&self) -> Secret {
        Secret::new(self.cluster.url(&self.runtime_role(), &self.name))
    }

    /// Connections of the superuser, who may look at everything.
    pub fn superuser(&self) -> PgPool {
        PgPoolOptions::new().max_connections(2).connect_lazy(&self.superuser_url()).unwrap()
    }

    /// The superuser's URL.
    pub fn superuser_url(&self) -> String {
        self.cluster.url(&self.cluster.superuser, &self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let url = self.cluster.url(&self.cluster.superuser, "postgres");
        let (name, owner, runtime) = (self.name.clone(), self.owner_role(), self.runtime_role());
        // A runtime of its own: a destructor cannot wait on the one of the test.
        let dropped = thread::spawn(move || {
            let runtime_of_drop = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime_of_drop.block_on(async {
                let mut connection = PgConnection::connect(&url).await?;
                for statement in [
                    format!("DROP DATABASE {name} WITH (FORCE)"),
                    format!("DROP ROLE {runtime}"),
                    format!("DROP ROLE {owner}"),
                ] {
                    connection.execute(AssertSqlSafe(statement)).await?;
                }
                Ok::<_, sqlx::Error>(())
            })
        });
        // Nothing is asserted here: where the test has stopped its own cluster, all is gone anyway.
        if let Ok(Err(error)) = dropped.join() {
            eprintln!("the database {} is left behind: {error}", self.name);
        }
    }
}

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url)
        .await
        .unwrap_or_else(|error| panic!("{url}: {error}; is what deploy/test started still running?"))
}

impl Postgres {
    /// The URL of one of its databases, through its socket.
    pub fn url(&self, role: &str, database: &str) -> String {
        let socket = self.socket.to_str().unwrap().replace('/', "%2F");
        format!("postgres://{role}@{socket}:{}/{database}", self.port)
    }
}

#[tokio::test]
async fn a_test_has_a_database_of_its_own_that_is_gone_afterwards() {
    let database = Database::create().await;
    let owner = PgPool::connect(database.owner_url().expose()).await.unwrap();
    owner.execute("CREATE TABLE of_mine (a int)").await.unwrap();
    let runtime = PgPool::connect(database.runtime_url().expose()).await.unwrap();
    runtime.execute("SELECT * FROM of_mine").await.unwrap_err();

    let name = database.name().to_owned();
    drop(database);
    let state = State::read().postgres;
    let mut connection = connect(&state.url(&state.superuser, "postgres")).await;
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_roles WHERE rolname LIKE $1 || '%'")
        .bind(&name)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(left, 0);
}
