//! The bot's user and its device.

use ruma::{
    OwnedDeviceId,
    api::client::{
        account::{
            register::{LoginType, v3 as register},
            whoami::v3 as whoami,
        },
        device::update_device::v3 as update_device,
        profile::{get_profile_field::v3 as get_profile_field, set_profile_field::v3 as set_profile_field},
    },
    profile::{ProfileFieldName, ProfileFieldValue},
};

use super::{As, DEVICE, Error, Homeserver, NotFound, PATIENCE};

impl Homeserver {
    /// Makes sure that the bot and its device exist, and that it is called `name`.
    ///
    /// Says whether anything had to be done. On all starts but the first, this is two quick questions.
    pub async fn ensure_bot(&self, name: &str) -> Result<bool, Error> {
        let doing = "asking who we are";
        let made = match self.call(As::Device, doing, PATIENCE, whoami::Request::new()).await {
            Ok(_) => false,
            // No such device, or (403) no such user.
            Err(error) if error.is("M_UNKNOWN_DEVICE") || error.is("M_FORBIDDEN") => {
                self.make_bot().await?;
                true
            }
            Err(error) => return Err(error),
        };
        let field = ProfileFieldName::DisplayName;
        let request = get_profile_field::Request::new(self.bot().to_owned(), field);
        let called = self.send("reading our display name", request).await.optional()?;
        if called
            .and_then(|response| response.value)
            .is_some_and(|value| matches!(&value, ProfileFieldValue::DisplayName(called) if called == name))
        {
            return Ok(made);
        }
        let value = ProfileFieldValue::DisplayName(name.to_owned());
        let request = set_profile_field::Request::new(self.bot().to_owned(), value);
        self.send("setting our display name", request).await?;
        Ok(true)
    }

    /// Registers the bot, then makes its device.
    ///
    /// The device is made by `PUT /devices/{id}`, which the specification (MSC4190) gives to application
    /// services; it yields no access token, so there is none to keep.
    pub(super) async fn make_bot(&self) -> Result<(), Error> {
        let mut request = register::Request::new();
        request.username = Some(self.bot().localpart().to_owned());
        request.login_type = Some(LoginType::ApplicationService);
        request.inhibit_login = true;
        match self.call(As::Service, "registering our user", PATIENCE, request).await {
            Ok(_) => {}
            Err(error) if error.is("M_USER_IN_USE") => {}
            Err(error) => return Err(error),
        }
        let mut request = update_device::Request::new(OwnedDeviceId::from(DEVICE));
        request.display_name = Some("Quarterdeck".to_owned());
        self.call(As::User, "making our device", PATIENCE, request).await?;
        Ok(())
    }
}
